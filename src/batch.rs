//! The packed batch: sequences one after another, without padding.

use crate::device::BatchSizes;

/// B sequences with T tokens in total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids `[T]`.
    pub ids: Vec<u32>,
    /// Token types `[T]`.
    pub types: Vec<u32>,
    /// Positions within each sequence `[T]`.
    pub positions: Vec<u32>,
    /// The first token of each sequence, then T: `[B + 1]`.
    pub bounds: Vec<u32>,
    /// The tokens that the head of a language model reads, such as the masked ones `[P]`. Other heads read all.
    pub picked: Vec<u32>,
    /// The number of tokens at the start of each sequence that pooling ignores `[B]`; empty if the model counts all.
    pub skipped: Vec<u32>,
}

impl Default for Batch {
    fn default() -> Self {
        let (ids, types, positions, picked, skipped) = Default::default();
        Self { ids, types, positions, bounds: vec![0], picked, skipped }
    }
}

impl Batch {
    /// Appends a sequence. `types` must be as long as `ids`.
    pub fn push(&mut self, ids: &[u32], types: &[u32]) {
        assert_eq!(ids.len(), types.len(), "a type a token");
        self.ids.extend_from_slice(ids);
        self.types.extend_from_slice(types);
        self.positions.extend(0..ids.len() as u32);
        self.bounds.push(self.ids.len() as u32);
        self.skipped.push(0);
    }

    /// Lets pooling ignore the first `tokens` of the last sequence.
    ///
    /// # Panics
    /// If there is no sequence.
    pub fn skip(&mut self, tokens: usize) {
        let last = self.skipped.len() - 1;
        self.skipped[last] = tokens as u32;
    }

    /// Picks a token of the last sequence for the head of a language model.
    ///
    /// # Panics
    /// If that sequence has no such token.
    pub fn pick(&mut self, position: usize) {
        let last = self.ranges().last().unwrap_or_default();
        assert!(position < last.len(), "a token of the last sequence");
        self.picked.push((last.start + position) as u32);
    }

    /// T, the number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// B, the number of sequences.
    pub fn sequences(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The range of tokens of each sequence.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.bounds.windows(2).map(|w| w[0] as usize..w[1] as usize)
    }

    /// The sizes that a device needs.
    pub fn sizes(&self) -> BatchSizes {
        let longest = self.ranges().map(|r| r.len()).max().unwrap_or(0);
        BatchSizes {
            tokens: self.tokens() as u32,
            sequences: self.sequences() as u32,
            longest: longest as u32,
            picked: self.picked.len() as u32,
        }
    }
}
