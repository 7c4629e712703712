//! Reads the directory of a sentence-transformers CrossEncoder: its activation, maximum length and prompts.
//!
//! Most such models are plain `BertForSequenceClassification` directories, and `config.json` names the activation. Those that sentence-transformers 5
//! saves have a `modules.json` with one `Transformer`, and the other settings in `config_sentence_transformers.json`.

use super::layout::{Layout, MODULES};
use super::reading::Reading;
use super::settings::{self, Settings};
use super::{Prompts, WHOLE};
use crate::activation::Activation;
use crate::config::Config;
use crate::error::{Error, Result, clip};

/// How a cross-encoder reads pairs of texts, and how it turns the model's logit into a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossEncoder {
    /// The subdirectory of the model, if it has one.
    pub encoder: Option<String>,
    /// The maximum number of tokens in a pair, with special tokens.
    pub max_seq_length: Option<usize>,
    /// Whether to convert texts to lower case before the tokenizer.
    pub do_lower_case: bool,
    /// Texts that can precede a query.
    pub prompts: Prompts,
    /// The class of the activation, if the settings name one.
    activation: Option<String>,
}

impl Default for CrossEncoder {
    fn default() -> Self {
        Self { encoder: None, max_seq_length: None, do_lower_case: false, prompts: Prompts::none(), activation: None }
    }
}

impl CrossEncoder {
    /// Reads the directory. Returns the defaults if it has no `modules.json` of a cross-encoder.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Config`] for a malformed file; [`Error::Unsupported`] if there are modules other than one `Transformer`.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        Self::read(&mut |name| super::read_if_there(&dir.join(name)))
    }

    /// The same with a function `file` that returns a file by its path in the directory, or nothing if it does not exist.
    ///
    /// # Errors
    /// The errors of [`CrossEncoder::open`].
    pub fn read(file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        // As in sentence-transformers: without both files, or for another type of model, the directory is read as
        // transformers reads it.
        let Some(layout) = Layout::read(file)? else { return Ok(Self::default()) };
        let Some(whole) = file(WHOLE)? else { return Ok(Self::default()) };
        let whole = settings::parse(WHOLE, &whole)?;
        let whole = Settings::of(WHOLE, &whole);
        if whole.text("model_type")? != Some("CrossEncoder") {
            return Ok(Self::default());
        }
        layout.check()?;
        if layout.followers().next().is_some() {
            return Err(unsupported(format!("{MODULES}: a cross-encoder of {}", clip(&layout.kinds()))));
        }
        let cross_encoder = Self {
            encoder: layout.encoder(),
            prompts: Prompts::none().read(&whole)?,
            activation: whole.text("activation_fn")?.map(Into::into),
            ..Self::default()
        };
        for name in layout.reading() {
            let Some(bytes) = file(&name)? else { continue };
            let keys = settings::parse(&name, &bytes)?;
            let settings = Settings::of(&name, &keys);
            if settings.is_empty() {
                continue;
            }
            let Reading { max_seq_length, do_lower_case } = Reading::of(&settings)?;
            if settings.value("transformer_task").is_none() {
                return Err(unsupported(format!("{name}: a cross-encoder without transformer_task")));
            }
            settings.is_word("transformer_task", "sequence-classification")?;
            settings.is_word("module_output_name", "scores")?;
            if let Some(way) = settings.inner("modality_config")?.map(|ways| ways.inner("text")).transpose()?.flatten()
            {
                way.is_word("method", "forward")?;
                way.is_word("method_output_name", "logits")?;
            }
            return Ok(Self { max_seq_length, do_lower_case, ..cross_encoder });
        }
        Err(unsupported(format!("{MODULES}: a cross-encoder whose Transformer has no configuration")))
    }

    /// The function that turns the logit into a score: from the settings, or else from `config.json`, or else a sigmoid.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown PyTorch class.
    pub fn activation(&self, config: &Config) -> Result<Activation> {
        for path in [self.activation.as_deref(), config.cross_encoder_activation()].into_iter().flatten() {
            if let Some(known) = Activation::from_torch(path) {
                return Ok(known);
            }
            if path.starts_with("torch.") {
                return Err(Error::Unsupported {
                    what: format!("the cross-encoder's activation {:?}", clip(path)),
                    help: "Give a model whose activation_fn is torch.nn.Sigmoid, Identity or another plain function"
                        .into(),
                });
            }
            // By default, sentence-transformers does not run foreign code either.
            tracing::warn!("the cross-encoder's activation {:?} is not PyTorch's: the default is used", clip(path));
        }
        Ok(Activation::Sigmoid)
    }
}

fn unsupported(what: String) -> Error {
    let help = "Give a cross-encoder that is one BertForSequenceClassification".into();
    Error::Unsupported { what, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = WHOLE;
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
        let prompts = [None, Some("none"), Some("other: ")].map(|asked| found.prompts.text(asked).unwrap());
        assert_eq!(prompts, ["q: ", "", "other: "]);
        assert_eq!(found.prompts.text(Some("document")).unwrap_err().code(), "option");
        assert_eq!(read(&[(SETTINGS, settings)]).unwrap(), CrossEncoder::default());
        assert_eq!(read(&[(MODULES, TRANSFORMER), (SETTINGS, "{}")]).unwrap(), CrossEncoder::default());
    }

    #[test]
    fn what_is_no_plain_cross_encoder_is_refused() {
        let settings = (SETTINGS, r#"{"model_type": "CrossEncoder"}"#);
        let dense =
            TRANSFORMER.replace("}]", r#"}, {"path": "1_Dense", "type": "sentence_transformers.models.Dense"}]"#);
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
        // As in sentence-transformers, a key with null hides the older key; an empty section does not.
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
