//! The names and shapes of all tensors of a BERT checkpoint.
//!
//! The names are those that `transformers` saves: encoder tensors begin with `bert.`, and LayerNorm has `weight` and
//! `bias`. `spellings` also finds files without the prefix, and old files with `gamma` and `beta`.

use crate::config::Config;
use crate::pooling::Pooling;

/// The head on top of the encoder. B is sequences, T tokens, P picked tokens, H hidden size, V vocabulary size, L
/// labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Head {
    /// No head: hidden states `[T, H]`.
    Encoder,
    /// No parameters: the pooled hidden states of each sequence, `[B, H]`.
    Embedding(Pooling),
    /// `tanh` of a linear layer on `[CLS]`: `[B, H]`.
    Pooler,
    /// Start and end logits for extractive question answering: `[T, 2]`.
    QuestionAnswering,
    /// Logits of the word at each picked token: `[P, V]`.
    MaskedLm,
    /// Logits of "the second text follows the first" and "it does not", from the pooler: `[B, 2]`.
    NextSentence,
    /// Both heads of BERT's pre-training.
    PreTraining,
    /// Logits of the class of a text or pair, or its score, from the pooler: `[B, L]`.
    SequenceClassification,
    /// Logits of the class of each token: `[T, L]`.
    TokenClassification,
    /// One logit for each choice, which is a sequence of its own, from the pooler: `[B, 1]`.
    MultipleChoice,
}

impl Head {
    /// The class in `transformers` that has this head.
    pub const fn architecture(self) -> &'static str {
        match self {
            Head::Encoder | Head::Embedding(_) | Head::Pooler => "BertModel",
            Head::QuestionAnswering => "BertForQuestionAnswering",
            Head::MaskedLm => "BertForMaskedLM",
            Head::NextSentence => "BertForNextSentencePrediction",
            Head::PreTraining => "BertForPreTraining",
            Head::SequenceClassification => "BertForSequenceClassification",
            Head::TokenClassification => "BertForTokenClassification",
            Head::MultipleChoice => "BertForMultipleChoice",
        }
    }

    /// The unit of its first output's rows.
    pub const fn per(self) -> Per {
        match self {
            Head::Encoder | Head::QuestionAnswering | Head::TokenClassification => Per::Token,
            Head::MaskedLm | Head::PreTraining => Per::Picked,
            Head::Embedding(_)
            | Head::Pooler
            | Head::NextSentence
            | Head::SequenceClassification
            | Head::MultipleChoice => Per::Sequence,
        }
    }

    /// Whether it reads the output of the pooler.
    pub const fn has_pooler(self) -> bool {
        matches!(
            self,
            Head::Pooler | Head::NextSentence | Head::PreTraining | Head::SequenceClassification | Head::MultipleChoice
        )
    }

    /// Whether it predicts words.
    pub const fn has_language_model(self) -> bool {
        matches!(self, Head::MaskedLm | Head::PreTraining)
    }

    /// Whether it tells classes apart that the configuration names.
    pub const fn is_classifier(self) -> bool {
        matches!(self, Head::SequenceClassification | Head::TokenClassification)
    }

    /// The linear layer that gives its logits, and what the model calls these logits.
    pub(crate) const fn linear_layer(self) -> Option<(&'static str, &'static str)> {
        match self {
            Head::Encoder | Head::Embedding(_) | Head::Pooler | Head::MaskedLm => None,
            Head::QuestionAnswering => Some(("qa_outputs", "logits")),
            Head::NextSentence | Head::PreTraining => Some(("cls.seq_relationship", "seq_relationship_logits")),
            Head::SequenceClassification | Head::TokenClassification | Head::MultipleChoice => {
                Some(("classifier", "logits"))
            }
        }
    }

    /// Its tensors besides those of the encoder, the pooler and the language model.
    const fn specs(self) -> &'static [Spec] {
        match self {
            Head::Encoder | Head::Embedding(_) | Head::Pooler | Head::MaskedLm => &[],
            Head::QuestionAnswering => &QUESTION_ANSWERING,
            Head::NextSentence | Head::PreTraining => &NEXT_SENTENCE,
            Head::SequenceClassification | Head::TokenClassification | Head::MultipleChoice => &CLASSIFIER,
        }
    }
}

/// The unit that a row of a result belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// A token of the batch.
    Token,
    /// A sequence of the batch.
    Sequence,
    /// A picked token, such as a mask.
    Picked,
}

/// A tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in `transformers`.
    pub name: String,
    /// The rows; 1 for a vector.
    pub rows: usize,
    /// The columns, or the length of a vector.
    pub cols: usize,
    /// Whether it is a vector in the file, with one dimension.
    pub is_vector: bool,
    /// Whether the i8 format stores it in 8 bits, with one scale for each row: matrices of the encoder and word
    /// embeddings.
    pub in_i8: bool,
}

#[derive(Clone, Copy)]
enum Dim {
    Hidden,
    FeedForward,
    Vocab,
    Positions,
    Types,
    /// Start and end, or "follows" and "does not follow".
    Two,
    Labels,
}
use Dim::{FeedForward, Hidden, Labels, Positions, Two, Types, Vocab};

struct Spec {
    name: &'static str,
    /// `None` for a vector.
    rows: Option<Dim>,
    cols: Dim,
    in_i8: bool,
}

/// A matrix that is stored in 8 bits in the i8 format.
const fn matrix(name: &'static str, rows: Dim, cols: Dim) -> Spec {
    Spec { name, rows: Some(rows), cols, in_i8: true }
}

/// A matrix that is too small or too important to be rounded.
const fn exact(name: &'static str, rows: Dim, cols: Dim) -> Spec {
    Spec { name, rows: Some(rows), cols, in_i8: false }
}

const fn vector(name: &'static str, cols: Dim) -> Spec {
    Spec { name, rows: None, cols, in_i8: false }
}

const EMBEDDINGS: [Spec; 5] = [
    matrix("embeddings.word_embeddings.weight", Vocab, Hidden),
    exact("embeddings.position_embeddings.weight", Positions, Hidden),
    exact("embeddings.token_type_embeddings.weight", Types, Hidden),
    vector("embeddings.LayerNorm.weight", Hidden),
    vector("embeddings.LayerNorm.bias", Hidden),
];

/// The tensors after `encoder.layer.N.`.
const LAYER: [Spec; 16] = [
    matrix("attention.self.query.weight", Hidden, Hidden),
    vector("attention.self.query.bias", Hidden),
    matrix("attention.self.key.weight", Hidden, Hidden),
    vector("attention.self.key.bias", Hidden),
    matrix("attention.self.value.weight", Hidden, Hidden),
    vector("attention.self.value.bias", Hidden),
    matrix("attention.output.dense.weight", Hidden, Hidden),
    vector("attention.output.dense.bias", Hidden),
    vector("attention.output.LayerNorm.weight", Hidden),
    vector("attention.output.LayerNorm.bias", Hidden),
    matrix("intermediate.dense.weight", FeedForward, Hidden),
    vector("intermediate.dense.bias", FeedForward),
    matrix("output.dense.weight", Hidden, FeedForward),
    vector("output.dense.bias", Hidden),
    vector("output.LayerNorm.weight", Hidden),
    vector("output.LayerNorm.bias", Hidden),
];

/// Some checkpoints lack it, and some heads do not need it.
const POOLER: [Spec; 2] = [exact("pooler.dense.weight", Hidden, Hidden), vector("pooler.dense.bias", Hidden)];

const QUESTION_ANSWERING: [Spec; 2] = [exact("qa_outputs.weight", Two, Hidden), vector("qa_outputs.bias", Two)];

const NEXT_SENTENCE: [Spec; 2] =
    [exact("cls.seq_relationship.weight", Two, Hidden), vector("cls.seq_relationship.bias", Two)];

const CLASSIFIER: [Spec; 2] = [exact("classifier.weight", Labels, Hidden), vector("classifier.bias", Labels)];

const LANGUAGE_MODEL: [Spec; 5] = [
    exact("cls.predictions.transform.dense.weight", Hidden, Hidden),
    vector("cls.predictions.transform.dense.bias", Hidden),
    vector("cls.predictions.transform.LayerNorm.weight", Hidden),
    vector("cls.predictions.transform.LayerNorm.bias", Hidden),
    vector("cls.predictions.bias", Vocab),
];

/// The decoder's own table, if it is not the word embeddings.
const DECODER: [Spec; 1] = [matrix(OWN_DECODER, Vocab, Hidden)];

/// The decoder's weight, if it is not the table of word embeddings.
pub(crate) const OWN_DECODER: &str = "cls.predictions.decoder.weight";

/// The tables of word, token type and position embeddings.
pub(crate) const TABLES: [&str; 3] = [
    "bert.embeddings.word_embeddings.weight",
    "bert.embeddings.token_type_embeddings.weight",
    "bert.embeddings.position_embeddings.weight",
];

/// The linear layers of an encoder layer, in the order of the computation. Those of the query, key and value are computed as one.
pub(crate) const LINEAR_LAYERS: [&str; 6] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
];

/// The full name of a part of encoder layer `index`.
pub(crate) fn in_layer(index: usize, part: &str) -> String {
    format!("{PREFIX}{LAYERS}{index}.{part}")
}

/// The tensors of all heads, whose names have no prefix.
const OF_HEADS: [&[Spec]; 5] = [&QUESTION_ANSWERING, &NEXT_SENTENCE, &CLASSIFIER, &LANGUAGE_MODEL, &DECODER];

const PREFIX: &str = "bert.";
const LAYERS: &str = "encoder.layer.";

/// The heads that a file can have, by the beginnings of their tensors' names.
pub(crate) const HEADS: [(&str, &str); 4] = [
    ("qa_outputs.", "question answering"),
    ("cls.predictions.", "masked language modelling"),
    ("cls.seq_relationship.", "next sentence prediction"),
    ("classifier.", "classification"),
];

/// The head that a tensor belongs to, in words; `None` if it belongs to none.
#[cfg(feature = "train")]
pub(crate) fn head_of(name: &str) -> Option<&'static str> {
    HEADS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, what)| *what)
}

impl Spec {
    fn param(&self, name: String, config: &Config) -> Param {
        let size = |dim| match dim {
            Hidden => config.hidden_size,
            FeedForward => config.intermediate_size,
            Vocab => config.vocab_size,
            Positions => config.max_position_embeddings,
            Types => config.type_vocab_size,
            Two => 2,
            Labels => config.num_labels(),
        };
        Param {
            name,
            rows: self.rows.map_or(1, size),
            cols: size(self.cols),
            is_vector: self.rows.is_none(),
            in_i8: self.in_i8,
        }
    }
}

/// The tensors that a model with this head must have, in the order of the computation, with the encoder's first.
pub fn params(config: &Config, head: Head) -> impl Iterator<Item = Param> {
    let named = move |spec: &Spec, prefix: String| spec.param(prefix + spec.name, config);
    let embeddings = EMBEDDINGS.iter().map(move |s| named(s, PREFIX.into()));
    let layers = (0..config.num_hidden_layers)
        .flat_map(move |n| LAYER.iter().map(move |s| named(s, format!("{PREFIX}{LAYERS}{n}."))));
    let pooler: &[Spec] = if head.has_pooler() { &POOLER } else { &[] };
    let pooler = pooler.iter().map(move |s| named(s, PREFIX.into()));
    let (words, decoder): (&[Spec], &[Spec]) = match head.has_language_model() {
        true if config.tie_word_embeddings => (&LANGUAGE_MODEL, &[]),
        true => (&LANGUAGE_MODEL, &DECODER),
        false => (&[], &[]),
    };
    let head = words.iter().chain(decoder).chain(head.specs()).map(move |s| named(s, String::new()));
    embeddings.chain(layers).chain(pooler).chain(head)
}

/// The layer of a linear layer's full name, and its place in [`LINEAR_LAYERS`].
#[cfg(feature = "train")]
pub(crate) fn place_in_layer(name: &str) -> Option<(usize, usize)> {
    let (layer, part) = name.strip_prefix(PREFIX)?.strip_prefix(LAYERS)?.split_once('.')?;
    Some((layer.parse().ok()?, LINEAR_LAYERS.iter().position(|known| *known == part)?))
}

/// The parameter of this model that a tensor's name means, in any spelling; `None` if it is not part of the model.
pub fn param(config: &Config, name: &str) -> Option<Param> {
    let modern = match name {
        "cls.predictions.decoder.bias" => "cls.predictions.bias".into(),
        other => modern(other),
    };
    let bare = modern.strip_prefix(PREFIX).unwrap_or(&modern);
    let of = |specs: &'static [Spec], name: &str| specs.iter().find(|s| s.name == name);
    if let Some(spec) = OF_HEADS.iter().find_map(|specs| of(specs, &modern)) {
        return Some(spec.param(modern.clone(), config));
    }
    let spec = match bare.strip_prefix(LAYERS).and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) => {
            let n: usize = layer.parse().ok()?;
            // "+1" and "01" parse as numbers, but are not names of layers.
            of(&LAYER, rest).filter(|_| n < config.num_hidden_layers && n.to_string() == layer)?
        }
        None => of(&EMBEDDINGS, bare).or_else(|| of(&POOLER, bare))?,
    };
    Some(spec.param(format!("{PREFIX}{bare}"), config))
}

/// The name with `weight` and `bias` instead of LayerNorm's old `gamma` and `beta`.
pub(crate) fn modern(name: &str) -> String {
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
        if let Some(stem) = name.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    name.into()
}

/// The names that a file can have for the tensor `name` of `transformers`, the usual one first.
pub(crate) fn spellings(name: &str) -> Vec<String> {
    let mut names = vec![name.to_string()];
    if let Some(bare) = name.strip_prefix(PREFIX) {
        names.push(bare.into());
    }
    if name == "cls.predictions.bias" {
        // One parameter has two names.
        names.push("cls.predictions.decoder.bias".into());
    }
    for (new, old) in [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")] {
        let olds: Vec<String> =
            names.iter().filter_map(|n| n.strip_suffix(new)).map(|stem| format!("{stem}{old}")).collect();
        names.extend(olds);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_layers() -> Config {
        Config::from_json(br#"{"num_hidden_layers": 2}"#, "config.json").unwrap()
    }

    #[test]
    fn every_param_is_found_by_every_spelling() {
        let config = two_layers();
        for (head, own) in [
            (Head::Encoder, 0),
            (Head::Embedding(Pooling::Mean), 0),
            (Head::Pooler, 2),
            (Head::QuestionAnswering, 2),
            (Head::MaskedLm, 5),
            (Head::NextSentence, 4),
            (Head::PreTraining, 9),
            (Head::SequenceClassification, 4),
            (Head::TokenClassification, 2),
            (Head::MultipleChoice, 4),
        ] {
            let all: Vec<Param> = params(&config, head).collect();
            assert_eq!(all.len(), 5 + 2 * 16 + own, "{head:?}");
            for p in &all {
                for name in spellings(&p.name) {
                    assert_eq!(param(&config, &name).as_ref(), Some(p), "{name}");
                }
            }
        }
        let untied = Config::from_json(br#"{"tie_word_embeddings": false}"#, "config.json").unwrap();
        let decoder = params(&untied, Head::MaskedLm).last().unwrap();
        assert_eq!(
            (decoder.name.as_str(), decoder.rows, decoder.in_i8),
            ("cls.predictions.decoder.weight", 30522, true)
        );
        let scalars: usize = params(&config, Head::Encoder).map(|p| p.rows * p.cols).sum();
        assert_eq!(scalars as u64, config.encoder_parameters());
    }

    #[test]
    fn other_names_are_no_part_of_the_model() {
        let config = two_layers();
        for name in [
            "bert.encoder.layer.2.output.dense.bias",
            "bert.encoder.layer.01.output.dense.bias",
            "bert.encoder.layer.+1.output.dense.bias",
            "bert.qa_outputs.bias",
            "bert.bert.embeddings.LayerNorm.bias",
            "bert.cls.predictions.bias",
            "classifier",
            "",
        ] {
            assert_eq!(param(&config, name), None, "{name}");
        }
        assert!(param(&config, "pooler.dense.bias").is_some());
    }
}
