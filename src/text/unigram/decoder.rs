//! Reads the section `decoder` of tokenizer.json.

use serde_json::Value;

use crate::error::clip;
use crate::text::contents::JSON;
use crate::text::decode::Decoder;
use crate::{Error, Result};

impl Decoder {
    /// Reads the section; `null` puts spaces between tokens.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown decoder.
    pub fn read(section: &Value) -> Result<Self> {
        let flag = |name: &str| section[name].as_bool();
        match section["type"].as_str() {
            None if section.is_null() => Ok(Self::Spaced),
            Some("WordPiece") => Ok(Self::WordPiece {
                prefix: section["prefix"].as_str().unwrap_or("##").into(),
                cleans: flag("cleanup").unwrap_or(true),
            }),
            Some("Metaspace") => Ok(Self::Metaspace {
                sign: section["replacement"].as_str().and_then(|sign| sign.chars().next()).unwrap_or('▁'),
                drops_first: section["prepend_scheme"] != "never" && flag("add_prefix_space") != Some(false),
            }),
            other => Err(Error::Unsupported {
                what: format!("{JSON}: decoder of type {}", clip(other.unwrap_or("none"))),
                help: "Use a tokenizer whose decoder is WordPiece or Metaspace".into(),
            }),
        }
    }
}
