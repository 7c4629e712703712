//! What a directory of sentence-transformers' CrossEncoder says beyond the model: the activation, the length, the prompts.
//!
//! Most such models are plain `BertForSequenceClassification` directories whose `config.json` names the activation. Those
//! that sentence-transformers 5 saves have a `modules.json` with one `Transformer`, and the rest in
//! `config_sentence_transformers.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::activation::Activation;
use crate::config::Config;
use crate::error::{Error, Result, clip, clip_message};

const MODULES: &str = "modules.json";
const SETTINGS: &str = "config_sentence_transformers.json";

/// How a cross-encoder reads pairs of texts, and what it makes of the model's logit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossEncoder {
    /// The directory of the model inside the one that was given, where it has one of its own.
    pub encoder: Option<String>,
    /// Tokens of a pair, special ones counted.
    pub max_seq_length: Option<usize>,
    pub do_lower_case: bool,
    /// Texts that may stand before a query, by their names.
    pub prompts: BTreeMap<String, String>,
    /// The name of the prompt that stands before a query where none is asked for.
    pub default_prompt: Option<String>,
    /// The activation's class, where the settings name one.
    activation: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    model_type: Option<String>,
    activation_fn: Option<String>,
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reading {
    transformer_task: Option<String>,
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

impl CrossEncoder {
    /// Reads what the directory says; without a `modules.json` of a cross-encoder, the defaults.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] for a malformed file, [`Error::Unsupported`] for other modules than one
    /// `Transformer`.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        Self::read(&mut |name| crate::sentence::read_if_there(&dir.join(name)))
    }

    /// The same with files found by `file`, by their path in the directory; nothing for one that is not there.
    ///
    /// # Errors
    /// As [`CrossEncoder::open`].
    pub fn read(file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        // As in sentence-transformers: without both files, or for another type of model, the directory is read as
        // transformers reads it.
        let Some(modules) = file(MODULES)? else { return Ok(Self::default()) };
        let Some(settings) = file(SETTINGS)? else { return Ok(Self::default()) };
        let settings: Settings = parse(SETTINGS, &settings)?;
        if settings.model_type.as_deref() != Some("CrossEncoder") {
            return Ok(Self::default());
        }
        let modules: Vec<Module> = parse(MODULES, &modules)?;
        let kinds: Vec<&str> = modules.iter().map(|m| m.kind.rsplit('.').next().unwrap_or_default()).collect();
        let ([module], ["Transformer"]) = (&modules[..], &kinds[..]) else {
            return Err(unsupported(format!("{MODULES}: a cross-encoder of {}", clip(&kinds.join(", ")))));
        };
        crate::sentence::check_path(&module.path)?;
        let name = match module.path.as_str() {
            "" => "sentence_bert_config.json".to_owned(),
            path => format!("{path}/sentence_bert_config.json"),
        };
        let reading: Reading = file(&name)?.map(|bytes| parse(&name, &bytes)).transpose()?.unwrap_or_default();
        let task = reading.transformer_task.as_deref().unwrap_or("feature-extraction");
        if task != "sequence-classification" {
            return Err(unsupported(format!("{name}: a cross-encoder with transformer_task {:?}", clip(task))));
        }
        if reading.max_seq_length.is_some_and(|n| n < 4) {
            return Err(malformed(&name, "max_seq_length leaves no room for text".into()));
        }
        if let Some(name) = settings.default_prompt_name.as_ref().filter(|n| !settings.prompts.contains_key(*n)) {
            return Err(malformed(SETTINGS, format!("default_prompt_name {:?} is none of the prompts", clip(name))));
        }
        let text = |(name, text): (String, Option<String>)| (name, text.unwrap_or_default());
        Ok(Self {
            encoder: Some(module.path.clone()).filter(|path| !path.is_empty()),
            max_seq_length: reading.max_seq_length,
            do_lower_case: reading.do_lower_case,
            prompts: settings.prompts.into_iter().map(text).collect(),
            default_prompt: settings.default_prompt_name,
            activation: settings.activation_fn,
        })
    }

    /// What stands before a query: the prompt of the name `asked`, or `asked` itself; by default the model's own.
    pub fn prompt<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        let name = asked.or(self.default_prompt.as_deref()).unwrap_or_default();
        self.prompts.get(name).map_or(asked.unwrap_or_default(), String::as_str)
    }

    /// What makes a score of the logit: as the settings say, or else `config.json`; a sigmoid where neither does.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a class of PyTorch that is not known here.
    pub fn activation(&self, config: &Config) -> Result<Activation> {
        for path in [self.activation.as_deref(), config.cross_encoder_activation()].into_iter().flatten() {
            if let Some(known) = Activation::from_torch(path) {
                return Ok(known);
            }
            if path.starts_with("torch.") {
                return Err(Error::Unsupported {
                    what: format!("the cross-encoder's activation {:?}", clip(path)),
                    mend: "Give a model whose activation_fn is torch.nn.Sigmoid, Identity or another plain function"
                        .into(),
                });
            }
            // sentence-transformers runs no foreign code either, unless it is told to.
            tracing::warn!("the cross-encoder's activation {:?} is not PyTorch's: the default is used", clip(path));
        }
        Ok(Activation::Sigmoid)
    }
}

fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| malformed(file, clip_message(&e)))
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Config { file: file.into(), problem, mend: "Give the file that was saved with the model".into() }
}

fn unsupported(what: String) -> Error {
    let mend = "Give a cross-encoder that is one BertForSequenceClassification".into();
    Error::Unsupported { what, mend }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSFORMER: &str = r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]"#;
    const SEQUENCE: &str = r#"{"transformer_task": "sequence-classification", "max_seq_length": 64}"#;

    fn read(files: &[(&str, &str)]) -> Result<CrossEncoder> {
        let bytes = |(_, text): &(&str, &str)| text.as_bytes().to_vec();
        CrossEncoder::read(&mut |name| Ok(files.iter().find(|(known, _)| *known == name).map(bytes)))
    }

    #[test]
    fn settings_count_beside_modules_alone() {
        let settings = r#"{"model_type": "CrossEncoder", "activation_fn": "torch.nn.Tanh",
            "prompts": {"query": "q: ", "none": null}, "default_prompt_name": "query"}"#;
        let reading = ("sentence_bert_config.json", SEQUENCE);
        let found = read(&[(MODULES, TRANSFORMER), (SETTINGS, settings), reading]).unwrap();
        assert_eq!((found.max_seq_length, found.activation.as_deref()), (Some(64), Some("torch.nn.Tanh")));
        assert_eq!(["q: ", "", "other"], [None, Some("none"), Some("other")].map(|asked| found.prompt(asked)));
        assert_eq!(read(&[(SETTINGS, settings)]).unwrap(), CrossEncoder::default());
        assert_eq!(read(&[(MODULES, TRANSFORMER), (SETTINGS, "{}")]).unwrap(), CrossEncoder::default());
        assert_eq!(CrossEncoder::default().prompt(None), "");
    }

    #[test]
    fn what_is_no_plain_cross_encoder_is_refused() {
        let settings = (SETTINGS, r#"{"model_type": "CrossEncoder"}"#);
        let dense = TRANSFORMER.replace("}]", r#"}, {"path": "1_Dense", "type": "a.Dense"}]"#);
        for (files, code) in [
            (vec![(MODULES, dense.as_str()), settings], "unsupported"),
            (vec![(MODULES, "[]"), settings], "unsupported"),
            (vec![(MODULES, TRANSFORMER), settings], "unsupported"),
            (vec![(MODULES, "{"), settings], "config"),
            (vec![(MODULES, TRANSFORMER), (SETTINGS, "[1]")], "config"),
        ] {
            assert_eq!(read(&files).unwrap_err().code(), code, "{files:?}");
        }
        let outside = TRANSFORMER.replace(r#""path": """#, r#""path": "../x""#);
        assert_eq!(read(&[(MODULES, &outside), settings]).unwrap_err().code(), "config");
        let absent = r#"{"model_type": "CrossEncoder", "default_prompt_name": "query"}"#;
        let reading = ("sentence_bert_config.json", SEQUENCE);
        assert_eq!(read(&[(MODULES, TRANSFORMER), (SETTINGS, absent), reading]).unwrap_err().code(), "config");
    }

    #[test]
    fn the_activation_is_what_the_first_file_says_that_may_say_it() {
        let of = |settings: Option<&str>, config: &str| {
            let cross_encoder = CrossEncoder { activation: settings.map(Into::into), ..CrossEncoder::default() };
            cross_encoder.activation(&Config::from_json(config.as_bytes(), "config.json").unwrap())
        };
        let newer = r#"{"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}"#;
        let older = r#"{"sbert_ce_default_activation_function": "torch.nn.modules.activation.Tanh"}"#;
        assert_eq!(of(None, "{}").unwrap(), Activation::Sigmoid);
        assert_eq!(of(None, newer).unwrap(), Activation::Linear);
        assert_eq!(of(None, older).unwrap(), Activation::Tanh);
        assert_eq!(of(Some("torch.nn.ReLU"), newer).unwrap(), Activation::Relu);
        assert_eq!(of(Some("mine.Softmax"), newer).unwrap(), Activation::Linear);
        // A key that says nothing hides the older one, as in sentence-transformers; an empty section does not.
        let hidden = older.replace('{', r#"{"sentence_transformers": {"activation_fn": null}, "#);
        assert_eq!(of(None, &hidden).unwrap(), Activation::Sigmoid);
        let seen = older.replace('{', r#"{"sentence_transformers": {"version": "4.1"}, "#);
        assert_eq!(of(None, &seen).unwrap(), Activation::Tanh);
        for odd in [r#"{"sentence_transformers": 3}"#, r#"{"sbert_ce_default_activation_function": [1]}"#] {
            assert_eq!(of(None, odd).unwrap(), Activation::Sigmoid);
        }
        assert_eq!(
            of(None, r#"{"sbert_ce_default_activation_function": "torch.nn.GLU"}"#).unwrap_err().code(),
            "unsupported"
        );
    }
}
