//! The files of a sentence-transformers directory.

use serde::Deserialize;

use super::settings::malformed;
use crate::error::{Error, Result, clip, clip_message};

pub(crate) const MODULES: &str = "modules.json";

/// The possible names of a `Transformer`'s configuration. The first file with content is used.
const READING: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// The modules in `modules.json`, by their directories and classes. It does not interpret them, so it finds the files of any model.
#[derive(Debug)]
pub struct Layout(Vec<Entry>);

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    class: String,
}

impl Entry {
    /// The class without its Python modules.
    pub fn kind(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its files.
    pub fn at(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        }
    }
}

impl Layout {
    /// Reads `modules.json` with `file`. Returns `None` if there is no such file.
    ///
    /// # Errors
    /// [`Error::Config`] for a malformed file, or one that points outside the directory.
    pub fn read(file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Option<Self>> {
        let Some(bytes) = file(MODULES)? else { return Ok(None) };
        let entries: Vec<Entry> = serde_json::from_slice(&bytes).map_err(|e| malformed(MODULES, clip_message(&e)))?;
        entries.iter().try_for_each(|entry| check_path(&entry.path))?;
        Ok(Some(Self(entries)))
    }

    /// The subdirectory of the first module, if it has one.
    pub fn encoder(&self) -> Option<String> {
        self.0.first().map(|entry| entry.path.clone()).filter(|path| !path.is_empty())
    }

    /// The files of all modules, any of which may be missing, except the model's own weights and tokenizer. Each
    /// element is a list of names; the first that exists is used.
    pub fn files(&self) -> Vec<Vec<String>> {
        let mut files = vec![vec![super::WHOLE.to_owned()], self.reading()];
        for entry in self.followers() {
            if entry.kind() != "Normalize" {
                files.push(vec![entry.at("config.json")]);
            }
            if !matches!(entry.kind(), "Normalize" | "Pooling" | "Dropout") {
                files.push(["model.safetensors", "pytorch_model.bin"].map(|name| entry.at(name)).into());
            }
        }
        files
    }

    /// The possible names of the first module's configuration.
    pub(super) fn reading(&self) -> Vec<String> {
        self.0.first().map(|entry| READING.map(|name| entry.at(name)).into()).unwrap_or_default()
    }

    /// The modules after the first.
    pub(super) fn followers(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().skip(1)
    }

    pub(super) fn kinds(&self) -> String {
        self.0.iter().map(Entry::kind).collect::<Vec<_>>().join(", ")
    }

    /// # Errors
    /// [`Error::Unsupported`] if a module is unknown, or there is none.
    pub(super) fn check(&self) -> Result<()> {
        const KNOWN: [&str; 5] = ["Pooling", "Dense", "LayerNorm", "Dropout", "Normalize"];
        let is_known = |(at, entry): (usize, &Entry)| {
            // A class of another package may do anything, whatever its name is.
            entry.class.starts_with("sentence_transformers.")
                && if at == 0 { entry.kind() == "Transformer" } else { KNOWN.contains(&entry.kind()) }
        };
        let what = match self.0.iter().enumerate().find(|entry| !is_known(*entry)) {
            Some((_, entry)) => format!("{MODULES}: the module {}", clip(&entry.class)),
            None if self.0.is_empty() => format!("{MODULES}: a model without modules"),
            None => return Ok(()),
        };
        let help = format!("Give a sentence-transformers model of Transformer, then any of {}", KNOWN.join(", "));
        Err(Error::Unsupported { what, help: help.into() })
    }
}

/// Checks that a module's directory is inside the model's.
fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
    };
    match path.is_empty() || (path.len() <= 255 && path.split('/').all(plain)) {
        true => Ok(()),
        false => Err(malformed(MODULES, format!("{:?} is not a directory inside the model's directory", clip(path)))),
    }
}
