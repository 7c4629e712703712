//! Reads sentence-transformers directories: how to tokenize a text, and how to turn its hidden states into a vector.
//!
//! Start at [`Sentence`]. Files are read as sentence-transformers 5.7 reads them. `modules.json` lists the modules in order; the first is the
//! `Transformer`. An unknown module is refused by name, because a model without one of its modules gives other vectors.

mod cross_encoder;
mod layout;
mod modules;
mod prompts;
mod reading;
mod settings;
mod similarity;
#[cfg(test)]
mod tests;

pub use cross_encoder::CrossEncoder;
pub use layout::Layout;
#[cfg(feature = "hub")]
pub(crate) use layout::MODULES;
pub use modules::{Dense, Module};
pub use prompts::Prompts;
pub use similarity::Similarity;

use crate::error::{Error, Result, clip};
use crate::pooling::Pooling;
use reading::Reading;
use settings::Settings;

/// The settings of the whole model.
const WHOLE: &str = "config_sentence_transformers.json";

/// The settings that turn texts into vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The subdirectory of the encoder, if it has one.
    pub encoder: Option<String>,
    /// The modules after the encoder, in order. Without a `modules.json`, it is the mean of the tokens.
    pub modules: Vec<Module>,
    /// Whether the modules begin with BERT's own pooler instead of a `Pooling`.
    pub has_pooler: bool,
    /// Whether the last module scales vectors to length 1; it is not among `modules`.
    pub normalize: bool,
    /// The most tokens of a text, with special tokens.
    pub max_seq_length: Option<usize>,
    /// Whether to convert texts to lower case before the tokenizer.
    pub do_lower_case: bool,
    /// Texts that can precede a text.
    pub prompts: Prompts,
    /// How vectors are compared.
    pub similarity: Similarity,
    /// The number of dimensions to keep (`truncate_dim`).
    pub dimensions: Option<usize>,
}

impl Default for Sentence {
    fn default() -> Self {
        Self {
            encoder: None,
            modules: vec![Module::Pool { poolings: vec![Pooling::Mean], with_prompt: true }],
            has_pooler: false,
            normalize: false,
            max_seq_length: None,
            do_lower_case: false,
            prompts: Prompts::default(),
            similarity: Similarity::default(),
            dimensions: None,
        }
    }
}

/// The largest file of a module, in bytes.
#[cfg(feature = "native")]
const MAX_BYTES: u64 = 1 << 20;

/// Reads a module's configuration; `None` if there is none.
#[cfg(feature = "native")]
pub(crate) fn read_if_there(path: &std::path::Path) -> Result<Option<Vec<u8>>> {
    match path.exists() {
        true => crate::checkpoint::source::read_small(path, MAX_BYTES).map(Some),
        false => Ok(None),
    }
}

impl Sentence {
    /// Reads the directory's `modules.json` and the files that it names. Without one, it returns the defaults.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] for a malformed file, [`Error::Unsupported`] for an unknown module.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        Self::read(&mut |name| read_if_there(&dir.join(name)))
    }

    /// The same with a function `file` that returns a file by its path in the directory, or nothing if it does not
    /// exist.
    ///
    /// # Errors
    /// As for [`Sentence::open`].
    pub fn read(file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        let Some(layout) = Layout::read(file)? else { return Ok(Self::default()) };
        let mut sentence = Self { modules: Vec::new(), encoder: layout.encoder(), ..Self::default() };
        if let Some(bytes) = file(WHOLE)? {
            sentence.whole(&Settings::of(WHOLE, &settings::parse(WHOLE, &bytes)?))?;
        }
        layout.check()?;
        for name in layout.reading() {
            if let Some(bytes) = file(&name)?
                && sentence.reading(&Settings::of(&name, &settings::parse(&name, &bytes)?))?
            {
                break;
            }
        }
        for entry in layout.followers() {
            sentence.follow(entry, file)?;
        }
        while sentence.modules.pop_if(|module| *module == Module::Normalize).is_some() {
            sentence.normalize = true;
        }
        if !sentence.is_pooled() {
            return Err(unsupported(format!("{}: {} without Pooling", layout::MODULES, clip(&layout.kinds()))));
        }
        Ok(sentence)
    }

    /// Applies the settings of `config_sentence_transformers.json`.
    fn whole(&mut self, settings: &Settings<'_>) -> Result<()> {
        let kind = settings.text("model_type")?.unwrap_or("SentenceTransformer");
        if kind != "SentenceTransformer" {
            return Err(Error::Unsupported {
                what: format!("{WHOLE}: embedding with a {}", clip(kind)),
                help: "Give a SentenceTransformer; a CrossEncoder is for `cloze rerank`".into(),
            });
        }
        self.prompts = Prompts::default().read(settings)?;
        if let Some(word) = settings.text("similarity_fn_name")? {
            let unknown = || settings.unsupported("similarity_fn_name", word);
            self.similarity = Similarity::from_word(word).ok_or_else(unknown)?;
        }
        self.dimensions = settings.size("truncate_dim")?;
        Ok(())
    }

    /// Applies the settings of a `Transformer` module; false if there are none.
    fn reading(&mut self, settings: &Settings<'_>) -> Result<bool> {
        if settings.is_empty() {
            return Ok(false);
        }
        let Reading { max_seq_length, do_lower_case } = Reading::of(settings)?;
        (self.max_seq_length, self.do_lower_case) = (max_seq_length, do_lower_case);
        settings.is_word("transformer_task", "feature-extraction")?;
        if let Some(ways) = settings.inner("modality_config")? {
            if ways.value("message").is_some() {
                return Err(settings.unsupported("modality_config", "message"));
            }
            let way = ways.inner("text")?.ok_or_else(|| settings.unsupported("modality_config", "no text"))?;
            way.is_word("method", "forward")?;
            self.has_pooler = settings.text("module_output_name")? == Some("sentence_embedding");
            let (taken, named) = match self.has_pooler {
                true => ("pooler_output", "sentence_embedding"),
                false => ("last_hidden_state", "token_embeddings"),
            };
            way.is_word("method_output_name", taken)?;
            settings.is_word("module_output_name", named)?;
        }
        Ok(true)
    }

    /// Appends the module `entry`, if it has an effect.
    fn follow(&mut self, entry: &layout::Entry, file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<()> {
        let name = entry.at("config.json");
        let refused = |what: &str| unsupported(format!("{}: {what}", layout::MODULES));
        let is_pooled = self.is_pooled();
        let known = match entry.kind() {
            // It has no effect unless a text has one vector.
            "Normalize" => {
                if is_pooled {
                    self.modules.push(Module::Normalize);
                }
                return Ok(());
            }
            "Pooling" if is_pooled => return Err(refused("a second Pooling")),
            "Pooling" => modules::pooling,
            "Dense" => modules::dense,
            "LayerNorm" => modules::norm,
            // Dropout has an effect only in training.
            _ if is_pooled => return Ok(()),
            _ => return Err(refused("Dropout before a Pooling")),
        };
        let keys = match file(&name)? {
            Some(bytes) => settings::parse(&name, &bytes)?,
            None => return Err(settings::malformed(&name, "it is missing, and modules.json names it".into())),
        };
        let module = known(&Settings::of(&name, &keys), entry.path())?;
        let is_of_tokens = matches!(&module, Module::Pool { .. } | Module::Dense(Dense { of_tokens: true, .. }));
        match (is_pooled, is_of_tokens) {
            (false, false) => return Err(refused("a module of texts before a Pooling")),
            // Nothing reads the tokens any more.
            (true, true) => {}
            _ => self.modules.push(module),
        }
        Ok(())
    }

    fn is_pooled(&self) -> bool {
        self.has_pooler || self.modules.iter().any(|module| matches!(module, Module::Pool { .. }))
    }

    /// Replaces the poolings of the files, and keeps everything else.
    pub fn pool_by(&mut self, by: Vec<Pooling>) {
        for module in &mut self.modules {
            if let Module::Pool { poolings, .. } = module {
                *poolings = by;
                return;
            }
        }
        self.has_pooler = false;
        self.modules.insert(0, Module::Pool { poolings: by, with_prompt: true });
    }

    /// Keeps only the modules that work on tokens, so that each token has a vector.
    pub fn without_pooling(&mut self) {
        self.modules.retain(|module| matches!(module, Module::Dense(Dense { of_tokens: true, .. })));
        (self.has_pooler, self.normalize, self.dimensions) = (false, false, None);
    }

    /// The poolings; empty if the model's own pooler is used, or if nothing is pooled.
    pub fn poolings(&self) -> &[Pooling] {
        self.modules.iter().find_map(|module| module.poolings()).unwrap_or_default()
    }
}

fn unsupported(what: String) -> Error {
    let help =
        "Give a model whose Pooling makes one vector of a text's tokens, and comes before what else is done to it";
    Error::Unsupported { what, help: help.into() }
}
