//! Tokenizers against transformers.

pub mod auto;
pub mod text;
#[cfg(feature = "unigram")]
pub mod unigram;
