//! Tokenizers: from text to token ids, and back to places in the text. This module knows no model and no device.
//!
//! Start at [`Tokenizer`]. It turns a text into an [`Encoding`] without special tokens. [`windows::cut`] divides a long context into overlapping ranges of
//! tokens. [`Tokenizer::pair`] adds the special tokens. All offsets are byte ranges of the original text, before normalization. [`Offsets`] converts them for
//! interfaces that count code points.

mod added;
mod bert;
mod contents;
mod decode;
mod encoder;
mod encoding;
mod files;
mod json;
mod matcher;
mod model;
mod offsets;
mod settings;
mod source;
mod template;
mod tokenizer;
mod unicode;
#[cfg(feature = "unigram")]
mod unigram;
pub mod windows;
mod wordpiece;
#[cfg(feature = "train")]
mod words;

pub use contents::TokenizerFiles;
pub use encoder::Encoder;
pub use encoding::{Encoding, Sequence, SpecialTokens};
pub use offsets::Offsets;
pub use tokenizer::Tokenizer;
#[cfg(feature = "train")]
pub(crate) use words::words;
