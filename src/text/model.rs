//! The kinds of tokenizer models. A model normalizes a text, splits it into words, and splits words into tokens.

use std::cmp::Reverse;

use super::added::Added;
use super::bert::BertNormalizer;
use super::encoding::Encoding;
#[cfg(feature = "unigram")]
use super::unigram::{self, Unigram};
use super::wordpiece::{self, WordPiece, WordPieceParts};

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

/// A text while it is tokenized.
#[derive(Debug)]
pub(super) enum Stream {
    WordPiece(Box<wordpiece::Stream>),
    #[cfg(feature = "unigram")]
    Unigram(Box<unigram::Stream>),
}

impl ModelParts {
    /// The id of a token in the vocabulary, without added tokens.
    pub fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::WordPiece(parts) => parts.vocab.get(token).copied(),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.token_to_id(token),
        }
    }

    /// The number of tokens in the vocabulary.
    pub fn size(&self) -> u32 {
        match self {
            Self::WordPiece(parts) => parts.vocab.len() as u32,
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.len() as u32,
        }
    }

    /// The token with the largest id. If several have it, the first by its bytes.
    pub fn last(&self) -> Option<(&str, u32)> {
        match self {
            // The empty token, such as that of a blank line at the end of a file, is in no text.
            Self::WordPiece(parts) => parts
                .vocab
                .iter()
                .filter(|(token, _)| !token.is_empty())
                .max_by_key(|(token, id)| (**id, Reverse(*token)))
                .map(|(token, id)| (token.as_str(), *id)),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => {
                let id = u32::try_from(model.len()).ok()?.checked_sub(1)?;
                Some((model.id_to_token(id)?, id))
            }
        }
    }

    /// The spelling of the unknown token.
    pub fn unk(&self) -> &str {
        match self {
            Self::WordPiece(parts) => &parts.unk,
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.unk().unwrap_or_default(),
        }
    }

    /// Normalizes the content of an added token that is searched for in normalized text.
    ///
    /// # Errors
    /// A message; WordPiece returns none.
    pub fn normalize(&self, text: &str) -> Result<String, String> {
        match self {
            Self::WordPiece(parts) => Ok(parts.normalizer.normalize(text)),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.normalize(text),
        }
    }

    /// Uses the casing of BERT's class. The setting for cleaning texts stays.
    pub fn set_casing(&mut self, casing: BertNormalizer) {
        match self {
            Self::WordPiece(parts) => {
                parts.normalizer = BertNormalizer { clean_text: parts.normalizer.clean_text, ..casing };
            }
            #[cfg(feature = "unigram")]
            Self::Unigram(_) => {}
        }
    }

    /// Returns `None` if the unknown token is not in the vocabulary.
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

    /// Changes texts to lower case before all other normalization.
    pub fn lowercase(&mut self) {
        match self {
            Self::WordPiece(model) => model.normalizer.lowercase_first(),
            #[cfg(feature = "unigram")]
            Self::Unigram(model) => model.lowercase_first(),
        }
    }

    /// Starts a text.
    pub fn stream(&self) -> Stream {
        match self {
            Self::WordPiece(_) => Stream::WordPiece(Box::default()),
            #[cfg(feature = "unigram")]
            Self::Unigram(_) => Stream::Unigram(Box::default()),
        }
    }
}

impl Stream {
    /// Reads about `most` more bytes of `text` and emits the tokens that are final. Returns false at the end of the text.
    ///
    /// # Errors
    /// A message about text that cannot be tokenized; WordPiece returns none.
    pub fn step(
        &mut self,
        model: &Model,
        added: &Added,
        text: &str,
        most: usize,
        out: &mut Encoding,
    ) -> Result<bool, String> {
        match (self, model) {
            (Self::WordPiece(stream), Model::WordPiece(model)) => Ok(stream.step(model, added, text, most, out)),
            #[cfg(feature = "unigram")]
            (Self::Unigram(stream), Model::Unigram(model)) => {
                let has_more = model.step(stream, text, most, [&added.raw, &added.normalized])?;
                stream.give(out);
                Ok(has_more)
            }
            // A stream always belongs to the model that began it.
            #[cfg(feature = "unigram")]
            _ => Ok(false),
        }
    }
}
