//! Reads a BERT model's `config.json` and checks whether this crate can run the model.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::activation::Activation;
use crate::error::{Error, Help, Remedy, Result, help};

/// The largest configuration file, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// The value of `quantization.format` that [`convert`](crate::checkpoint::convert()) writes. Matrices and word
/// embeddings are I8. Each has one f32 scale for each row, in a tensor whose name has `.scale` added.
pub const I8_ROWS: &str = "i8-rows";

/// The shape of a BERT model. Keys that the file lacks have the values of `transformers.BertConfig`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// "bert". The oldest files lack it.
    pub model_type: Option<String>,
    /// The classes that saved the checkpoint, such as `BertForQuestionAnswering`.
    pub architectures: Option<Vec<String>>,
    /// V, the number of rows of the word embeddings.
    pub vocab_size: usize,
    /// H, the width of a token's hidden state.
    pub hidden_size: usize,
    /// L, the number of encoder layers.
    pub num_hidden_layers: usize,
    /// N, the number of attention heads. Each is D = H / N wide.
    pub num_attention_heads: usize,
    /// F, the width inside a feed-forward block.
    pub intermediate_size: usize,
    /// One of [`Activation::NAMES`].
    pub hidden_act: String,
    /// The longest sequence, which is the number of rows of the position embeddings.
    pub max_position_embeddings: usize,
    /// The number of rows of the segment embeddings.
    pub type_vocab_size: usize,
    /// Added to the variance in LayerNorm, so that it never divides by 0.
    pub layer_norm_eps: f64,
    /// A negative number in the file counts from the end of the table, as in PyTorch.
    #[serde(skip)]
    pub pad_token_id: Option<u32>,
    /// Dropout of hidden states, only in training.
    pub hidden_dropout_prob: f64,
    /// Dropout of attention weights, only in training.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before a classifier; if missing, that of hidden states.
    pub classifier_dropout: Option<f64>,
    /// The standard deviation of new weights.
    pub initializer_range: f64,
    /// The names of a classifier's classes, by their numbers: see [`label`](Self::label).
    #[serde(rename = "id2label", deserialize_with = "names")]
    names: Option<Vec<(i64, String)>>,
    /// The numbers of the classes by their names, if the file has them.
    label2id: Value,
    /// The name of a [`ProblemType`], for a sequence classifier. See [`problem`](Self::problem).
    pub problem_type: Option<String>,
    /// Whether the masked language model's decoder is the table of word embeddings.
    pub tie_word_embeddings: bool,
    /// Used if the classes have no names.
    #[serde(rename = "num_labels")]
    unnamed_labels: Option<usize>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    add_cross_attention: Option<bool>,
    quantization: Option<Quantization>,
    #[serde(deserialize_with = "presence")]
    quantization_config: bool,
    /// The settings of a cross-encoder of sentence-transformers, from version 4 on and from before.
    sentence_transformers: Option<Value>,
    sbert_ce_default_activation_function: Option<Value>,
}

/// How the labels of a sequence classifier relate to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemType {
    /// Each text has exactly one class.
    SingleLabel,
    /// Each text has any number of classes.
    MultiLabel,
    /// Each text has a value.
    Regression,
}

impl ProblemType {
    /// All problem types.
    pub const ALL: [ProblemType; 3] = [ProblemType::SingleLabel, ProblemType::MultiLabel, ProblemType::Regression];

    /// The spelling of [`Config::problem_type`].
    pub const fn name(self) -> &'static str {
        match self {
            ProblemType::SingleLabel => "single_label_classification",
            ProblemType::MultiLabel => "multi_label_classification",
            ProblemType::Regression => "regression",
        }
    }

    /// The problem type with this [name](Self::name).
    pub fn named(name: &str) -> Option<ProblemType> {
        Self::ALL.into_iter().find(|problem| problem.name() == name)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Quantization {
    format: String,
}

/// Reads names of classes, in the order of their numbers. If the classes of a data set are numbers, names may be
/// numbers; they are taken as they are written. A null is not a name.
fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<(i64, String)>>, D::Error> {
    let Some(given) = Option::<serde_json::Map<String, Value>>::deserialize(deserializer)? else { return Ok(None) };
    let mut names = Vec::with_capacity(given.len());
    for (id, name) in given {
        let wrong =
            |what: &str| serde::de::Error::custom(format_args!("id2label has {what} {:?}", crate::error::clip(&id)));
        let number: i64 = id.trim().parse().map_err(|_| wrong("no number but"))?;
        names.push((
            number,
            match name {
                Value::String(name) => name,
                Value::Number(_) | Value::Bool(_) => name.to_string(),
                Value::Null => format!("LABEL_{number}"),
                _ => return Err(wrong("no name for")),
            },
        ));
    }
    names.sort();
    Ok(Some(names))
}

/// Whether a key exists and is not null.
fn presence<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|value| value.is_some())
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model_type: None,
            architectures: None,
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
            names: None,
            label2id: Value::Null,
            problem_type: None,
            tie_word_embeddings: true,
            unnamed_labels: None,
            position_embedding_type: None,
            is_decoder: None,
            add_cross_attention: None,
            quantization: None,
            quantization_config: false,
            sentence_transformers: None,
            sbert_ce_default_activation_function: None,
        }
    }
}

impl Config {
    /// Reads and validates `config.json` in the directory `dir`.
    ///
    /// # Errors
    /// `Error::Io` if it cannot be read, `Error::Config` if it is malformed or describes an impossible model,
    /// `Error::Unsupported` if this crate does not support the model.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        let path = dir.join("config.json");
        let bytes = crate::checkpoint::source::read_small(&path, MAX_BYTES as u64)?;
        Self::from_json(&bytes, &path.display().to_string())
    }

    /// Parses and validates the text of a `config.json`; `file` is its name in errors.
    ///
    /// # Errors
    /// As for [`Config::open`].
    pub fn from_json(json: &[u8], file: &str) -> Result<Self> {
        if json.len() > MAX_BYTES {
            return Err(malformed(file, format!("{} bytes is too large for a model configuration", json.len())));
        }
        let unreadable = |e: serde_json::Error| {
            malformed(file, format!("not a model configuration: {}", crate::error::clip_message(&e)))
        };
        let mut config: Self = serde_json::from_slice(json).map_err(unreadable)?;
        let Padding { pad_token_id } = serde_json::from_slice(json).map_err(unreadable)?;
        let from_the_end = |id: i64| if id < 0 { id.saturating_add(config.vocab_size as i64) } else { id };
        config.pad_token_id = match pad_token_id.map(from_the_end).map(u32::try_from).transpose() {
            Ok(id) => id,
            Err(_) => return Err(malformed(file, "pad_token_id has no row in the word embeddings".into())),
        };
        config.validate(file)?;
        Ok(config)
    }

    /// The feed-forward layer's activation, [`hidden_act`](Self::hidden_act).
    ///
    /// # Panics
    /// If the configuration was not read from a file and names an unknown function.
    pub fn activation(&self) -> Activation {
        Activation::from_name(&self.hidden_act).expect("hidden_act was checked when the file was read")
    }

    /// How the labels of a sequence classifier relate to each other, if [`problem_type`](Self::problem_type) names it.
    pub fn problem(&self) -> Option<ProblemType> {
        ProblemType::named(self.problem_type.as_deref()?)
    }

    /// The same for training. As in transformers, one label means a regression if the file does not say.
    pub fn trained_problem(&self) -> ProblemType {
        let usual = if self.num_labels() == 1 { ProblemType::Regression } else { ProblemType::SingleLabel };
        self.problem().unwrap_or(usual)
    }

    /// D, the width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// The number of a classifier's outputs. It is 1 for multiple choice, because each choice is a sequence of its own.
    pub fn num_labels(&self) -> usize {
        match &self.names {
            _ if self.is_architecture("BertForMultipleChoice") => 1,
            Some(names) => names.len(),
            None => self.unnamed_labels.unwrap_or(2),
        }
    }

    /// The name of class `index`. As in `transformers`, it is `LABEL_{index}` if the file has none.
    pub fn label(&self, index: usize) -> String {
        let named = self.names.as_ref().and_then(|names| {
            let at = names.binary_search_by_key(&(index as i64), |(id, _)| *id).ok()?;
            names.get(at)
        });
        named.map_or_else(|| format!("LABEL_{index}"), |(_, name)| name.clone())
    }

    /// Checks that all classes of a classifier have names. Otherwise its outputs would have wrong names.
    ///
    /// # Errors
    /// [`Error::Config`] if they are not numbered from 0 without a gap.
    pub fn check_labels(&self) -> Result<()> {
        let names = self.names.as_deref().unwrap_or_default();
        match (0..).zip(names).find(|(at, (id, _))| at != id) {
            None => Ok(()),
            Some((at, (id, _))) => Err(Error::Config {
                file: "config.json".into(),
                problem: format!(
                    "id2label has {id} where {at} belongs, so the names of {} classes are not known",
                    names.len()
                ),
                help: "Number the names from \"0\" without a gap, as the classifier's outputs are".into(),
            }),
        }
    }

    /// The class whose name begins with "entail", in any case. As in transformers, `label2id` decides if the file has
    /// it.
    pub fn entailment(&self) -> Option<usize> {
        let is_entailment = |name: &str| name.to_lowercase().starts_with("entail");
        let classes = 0..self.num_labels();
        match self.label2id.as_object() {
            Some(ids) => ids
                .iter()
                .find(|(name, _)| is_entailment(name))
                .and_then(|(_, id)| usize::try_from(id.as_u64()?).ok())
                .filter(|class| classes.contains(class)),
            None => classes.into_iter().find(|class| is_entailment(&self.label(*class))),
        }
    }

    /// Whether the first of `architectures` is `name`, such as `BertForQuestionAnswering`.
    pub fn is_architecture(&self, name: &str) -> bool {
        self.architectures.iter().flatten().next().is_some_and(|first| first == name)
    }

    /// The class of the activation that sentence-transformers' CrossEncoder applies to the logits, if the file names
    /// one.
    pub fn cross_encoder_activation(&self) -> Option<&str> {
        let newer = self.sentence_transformers.as_ref().and_then(|section| section.get("activation_fn"));
        newer.or(self.sbert_ce_default_activation_function.as_ref())?.as_str()
    }

    /// The number of scalars in the encoder's parameters, without the pooler.
    pub fn encoder_parameters(&self) -> u64 {
        // This fits into u64, because validation limits each factor.
        let [h, f, layers] = [self.hidden_size, self.intermediate_size, self.num_hidden_layers].map(|n| n as u64);
        let tables = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size) as u64 * h;
        let layer = 4 * (h * h + h) + 2 * h * f + f + h + 4 * h;
        tables + 2 * h + layers * layer
    }

    fn validate(&self, file: &str) -> Result<()> {
        self.validate_kind()?;
        self.validate_sizes(file)?;
        if Activation::from_name(&self.hidden_act).is_none() {
            let known = Activation::NAMES.map(|(name, _)| name).join(", ");
            return Err(Error::Unsupported {
                what: format!("{file}: the activation hidden_act = {:?}", crate::error::clip(&self.hidden_act)),
                help: format!("Known are {known}").into(),
            });
        }
        let eps = self.layer_norm_eps as f32;
        if !(eps > 0.0 && eps < 1.0) {
            return Err(malformed(
                file,
                format!("layer_norm_eps = {} is not a small positive number", self.layer_norm_eps),
            ));
        }
        let rates = [
            ("hidden_dropout_prob", Some(self.hidden_dropout_prob)),
            ("attention_probs_dropout_prob", Some(self.attention_probs_dropout_prob)),
            ("classifier_dropout", self.classifier_dropout),
        ];
        for (key, rate) in rates {
            if rate.is_some_and(|p| !(0.0..1.0).contains(&p)) {
                return Err(malformed(file, format!("{key} = {} is not in 0..1", rate.unwrap_or_default())));
            }
        }
        Ok(())
    }

    /// Checks that it is a BERT of a supported kind.
    fn validate_kind(&self) -> Result<()> {
        let unsupported = |what: String, help: Help| Err(Error::Unsupported { what, help });
        let bert = "Give a BERT model: a directory whose config.json has model_type \"bert\"";
        match (self.model_type.as_deref(), self.architectures.iter().flatten().next()) {
            (Some("bert"), _) | (None, None) => {}
            (None, Some(first)) if first.starts_with("Bert") => {}
            (None, Some(first)) => {
                return unsupported(format!("the architecture {:?}", crate::error::clip(first)), bert.into());
            }
            (Some(other), _) => return unsupported(format!("model_type {:?}", crate::error::clip(other)), bert.into()),
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                return unsupported(
                    format!("position_embedding_type {:?}", crate::error::clip(other)),
                    "Give a model with absolute position embeddings".into(),
                );
            }
        }
        if self.is_decoder == Some(true) || self.add_cross_attention == Some(true) {
            return unsupported(
                "a BERT decoder (is_decoder or add_cross_attention)".into(),
                "Give an encoder: these keys false or absent".into(),
            );
        }
        let unquantized = help!("Give the unquantized checkpoint; to make it small, ", Remedy::ConvertToI8);
        if self.quantization_config {
            return unsupported(
                "the checkpoint's quantization_config (bitsandbytes, GPTQ, AWQ, …)".into(),
                unquantized,
            );
        }
        match &self.quantization {
            Some(q) if q.format != I8_ROWS => {
                unsupported(format!("the quantization format {:?}", crate::error::clip(&q.format)), unquantized)
            }
            _ => Ok(()),
        }
    }

    fn validate_sizes(&self, file: &str) -> Result<()> {
        // Far above any BERT, and so low that no product of them overflows 64 bits.
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 15),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 15),
            ("intermediate_size", self.intermediate_size, 1 << 17),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 16),
            ("type_vocab_size", self.type_vocab_size, 1 << 16),
        ];
        for (key, size, limit) in sizes {
            if size == 0 || size > limit {
                return Err(malformed(file, format!("{key} = {size} is not in 1..={limit}")));
            }
        }
        // A model without a classifier may have no labels.
        if self.num_labels() > 1 << 20 {
            return Err(malformed(file, format!("{} labels are not in 0..={}", self.num_labels(), 1 << 20)));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(malformed(
                file,
                format!(
                    "hidden_size = {} is not a multiple of num_attention_heads = {}",
                    self.hidden_size, self.num_attention_heads
                ),
            ));
        }
        if self.pad_token_id.is_some_and(|id| id as usize >= self.vocab_size) {
            return Err(malformed(file, format!("pad_token_id is not below vocab_size = {}", self.vocab_size)));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Padding {
    pad_token_id: Option<i64>,
}

impl Default for Padding {
    fn default() -> Self {
        Self { pad_token_id: Some(0) }
    }
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Config { file: file.into(), problem, help: "Give the config.json that was saved with the model".into() }
}

#[cfg(test)]
mod tests;
