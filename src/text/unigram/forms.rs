//! Unicode's normalization forms and what else stands on large Unicode tables: some 45 KB, gzipped, of the npm package's module.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::{BertNormalizer, Nmt, StripAccents};
use tokenizers::{NormalizedString, Normalizer as _};

pub(super) enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    StripAccents,
    Nmt,
    Bert(BertNormalizer),
}

impl Form {
    /// The form of this type; nothing for another type.
    ///
    /// # Errors
    /// If the section is malformed.
    pub fn read(kind: &str, section: &Value) -> serde_json::Result<Option<Self>> {
        Ok(Some(match kind {
            "NFC" => Self::Nfc,
            "NFD" => Self::Nfd,
            "NFKC" => Self::Nfkc,
            "NFKD" => Self::Nfkd,
            "StripAccents" => Self::StripAccents,
            "Nmt" => Self::Nmt,
            "BertNormalizer" => Self::Bert(BertNormalizer::deserialize(section)?),
            _ => return Ok(None),
        }))
    }

    pub fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::Nfc => drop(text.nfc()),
            Self::Nfd => drop(text.nfd()),
            Self::Nfkc => drop(text.nfkc()),
            Self::Nfkd => drop(text.nfkd()),
            Self::StripAccents => StripAccents.normalize(text)?,
            Self::Nmt => Nmt.normalize(text)?,
            Self::Bert(bert) => bert.normalize(text)?,
        }
        Ok(())
    }
}
