//! Text to token ids and back to places in the text. Knows no model and no device.
//!
//! A [`Tokenizer`] turns one text into an [`Encoding`] without special tokens; [`windows::cut`] divides a long
//! context into overlapping ranges of tokens; [`Tokenizer::pair`] puts the special tokens around them.
//! All offsets are byte ranges of the text that the caller gave, whatever the normaliser did to it; [`Offsets`]
//! converts them for interfaces that count code points.

mod added;
mod bert;
mod decode;
mod encoder;
mod files;
mod json;
mod matcher;
mod model;
mod offsets;
mod settings;
mod template;
mod tokenizer;
mod unicode;
#[cfg(feature = "unigram")]
mod unigram;
pub mod windows;
mod wordpiece;
#[cfg(feature = "train")]
mod words;

pub use encoder::Encoder;
pub use files::TokenizerFiles;
pub use offsets::Offsets;
pub use tokenizer::{Encoding, Sequence, SpecialTokens, Tokenizer};
#[cfg(feature = "train")]
pub(crate) use words::words;
