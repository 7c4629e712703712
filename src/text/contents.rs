//! The contents of tokenizer files as they are given, and errors about them.

use serde::Deserialize;

use crate::error::clip_message;
use crate::{Error, Result};

pub(super) const JSON: &str = "tokenizer.json";
pub(super) const VOCAB: &str = "vocab.txt";

/// The maximum size of a file, in bytes. The largest BERT vocabularies make a tokenizer.json of a few megabytes.
pub(super) const MAX_FILE: u64 = 64 << 20;

/// The maximum length of a word and of an added token. WordPiece tries every substring of a word, so its time grows with the square of this limit. BERT models
/// use 100.
pub(super) const MAX_WORD_CHARS: usize = 1000;

/// The value in every BERT model.
pub(super) const USUAL_WORD_CHARS: usize = 100;

/// The prefix of a piece inside a word in every BERT model.
pub(super) const PREFIX: &str = "##";

/// The contents of the tokenizer files of a model directory. Either `json` or `vocab` is required; `json` takes precedence.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`
    pub json: Option<&'a [u8]>,
    /// `vocab.txt`: one token on each line. The line number is the id.
    pub vocab: Option<&'a [u8]>,
    /// `tokenizer_config.json`: the class, the casing, added and special tokens.
    pub config: Option<&'a [u8]>,
    /// `special_tokens_map.json`: the spelling of special tokens in older models.
    pub special_tokens_map: Option<&'a [u8]>,
    /// `added_tokens.json`: tokens outside the vocabulary in older models.
    pub added_tokens: Option<&'a [u8]>,
    /// `config.json`, which names the tokenizer's class if `tokenizer_config.json` does not.
    pub model: Option<&'a [u8]>,
}

pub(super) fn broken(file: &str, problem: impl Into<String>, help: &str) -> Error {
    Error::Tokenizer { file: file.into(), problem: problem.into(), help: help.into() }
}

pub(super) fn checked<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_large(file));
    }
    Ok(bytes)
}

pub(super) fn too_large(file: &str) -> Error {
    broken(file, format!("it is larger than {} MiB", MAX_FILE >> 20), "Use a BERT tokenizer")
}

pub(super) fn parse<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| broken(file, clip_message(&e), "Download or export the file again"))
}
