//! The results of a tokenizer: the tokens of a text, and sequences for the encoder.

use std::ops::Range;

/// The ids of the special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `[CLS]`, the first token of every sequence.
    pub cls: u32,
    /// `[SEP]`, which ends each text of a sequence.
    pub sep: u32,
    /// `[PAD]`.
    pub pad: u32,
    /// `[UNK]`, for a word that the vocabulary cannot spell.
    pub unk: u32,
    /// `[MASK]`, if the vocabulary has it.
    pub mask: Option<u32>,
}

/// The tokens of one text, without special tokens around it. All three lists have the same length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, each below the vocabulary size.
    pub ids: Vec<u32>,
    /// The byte range of the text for each token.
    pub offsets: Vec<Range<usize>>,
    /// The index of the word that each token belongs to. Words are separated by white space and punctuation, and counted from 0. The indices never decrease.
    pub words: Vec<u32>,
}

impl Encoding {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the text has no tokens: it is empty, or has only white space and control characters.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Keeps the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.ids.truncate(len);
        self.offsets.truncate(len);
        self.words.truncate(len);
    }

    /// Keeps the last `len` tokens.
    pub fn keep_last(&mut self, len: usize) {
        let from = self.len().saturating_sub(len);
        self.ids.drain(..from);
        self.offsets.drain(..from);
        self.words.drain(..from);
    }
}

/// One sequence with its special tokens, as the encoder reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids `[S]`.
    pub ids: Vec<u32>,
    /// Token types `[S]`: 0 for the first text with its `[CLS]` and `[SEP]`, 1 for the second text with its `[SEP]`.
    pub types: Vec<u32>,
}
