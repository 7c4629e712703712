//! Compares tokenizers with transformers.

pub mod auto;
pub mod text;
#[cfg(feature = "unigram")]
pub mod unigram;
