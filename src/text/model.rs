//! The kinds of tokenizer models: what normalizes a text, cuts it into words and words into tokens.

use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer, Token};

use super::wordpiece::{WordPiece, WordPieceParts};

/// A model as a file describes it.
pub(super) enum ModelParts {
    WordPiece(WordPieceParts),
}

/// A model that is ready to use.
pub(super) enum Model {
    WordPiece(WordPiece),
}

impl ModelParts {
    /// The ids of the vocabulary without added tokens.
    pub fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::WordPiece(parts) => parts.vocab.get(token).copied(),
        }
    }

    /// The token with the largest id.
    pub fn last(&self) -> Option<(&str, u32)> {
        match self {
            Self::WordPiece(parts) => {
                parts.vocab.iter().max_by_key(|(_, id)| **id).map(|(token, id)| (token.as_str(), *id))
            }
        }
    }

    /// How the model spells an unknown word.
    pub fn unk(&self) -> &str {
        match self {
            Self::WordPiece(parts) => &parts.unk,
        }
    }

    /// What marks a piece that continues a word.
    pub fn prefix(&self) -> &str {
        match self {
            Self::WordPiece(parts) => &parts.prefix,
        }
    }

    /// `None` if the unknown token is not in the vocabulary.
    pub fn build(self) -> Option<Model> {
        match self {
            Self::WordPiece(parts) => WordPiece::new(parts).map(Model::WordPiece),
        }
    }
}

impl Model {
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::WordPiece(model) => model.token_to_id(token),
        }
    }

    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        match self {
            Self::WordPiece(model) => model.id_to_token(id),
        }
    }

    /// Normalizes a stretch of text between added tokens, or an added token itself.
    pub fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::WordPiece(model) => model.normalizer.normalize(text),
        }
    }

    /// Cuts what is no token yet into words.
    pub fn cut(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::WordPiece(_) => BertPreTokenizer.pre_tokenize(text),
        }
    }

    /// The tokens of a word, with the bytes of it that each stands for.
    pub fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        match self {
            Self::WordPiece(model) => Ok(model.tokenize(word)),
        }
    }
}
