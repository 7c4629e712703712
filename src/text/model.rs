//! The kinds of tokenizer models: what normalizes a text, cuts it into words and words into tokens.

use tokenizers::{NormalizedString, Normalizer};

#[cfg(feature = "unigram")]
use super::unigram::Unigram;
use super::wordpiece::{WordPiece, WordPieceParts};

/// A model as a file describes it.
pub(super) enum ModelParts {
    WordPiece(WordPieceParts),
    #[cfg(feature = "unigram")]
    Unigram(Box<Unigram>),
}

/// A model that is ready to use.
pub(super) enum Model {
    WordPiece(WordPiece),
    #[cfg(feature = "unigram")]
    Unigram(Box<Unigram>),
}

impl ModelParts {
    /// The ids of the vocabulary without added tokens.
    pub fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::WordPiece(parts) => parts.vocab.get(token).copied(),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.token_to_id(token),
        }
    }

    /// The token with the largest id.
    pub fn last(&self) -> Option<(&str, u32)> {
        match self {
            Self::WordPiece(parts) => {
                parts.vocab.iter().max_by_key(|(_, id)| **id).map(|(token, id)| (token.as_str(), *id))
            }
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => {
                let id = u32::try_from(model.len()).ok()?.checked_sub(1)?;
                Some((model.id_to_token(id)?, id))
            }
        }
    }

    /// How the model spells an unknown word.
    pub fn unk(&self) -> &str {
        match self {
            Self::WordPiece(parts) => &parts.unk,
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.unk().unwrap_or_default(),
        }
    }

    /// `None` if the unknown token is not in the vocabulary.
    pub fn build(self) -> Option<Model> {
        match self {
            Self::WordPiece(parts) => WordPiece::new(parts).map(Model::WordPiece),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => Some(Model::Unigram(model)),
        }
    }
}

impl Model {
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::WordPiece(model) => model.token_to_id(token),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.token_to_id(token),
        }
    }

    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        match self {
            Self::WordPiece(model) => model.id_to_token(id),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.id_to_token(id),
        }
    }

    /// Normalizes a stretch of text between added tokens, or an added token itself.
    pub fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::WordPiece(model) => model.normalizer.normalize(text),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.normalize(text),
        }
    }
}
