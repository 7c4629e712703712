//! Packs sequences into batches, runs them, and gives each sequence its own rows of the results.
//!
//! It works for every [`Predictor`]: a loaded model, or a model in training.

use std::ops::Range;

use crate::batch::Batch;
use crate::checkpoint::names::Per;
use crate::device::Cancel;
use crate::error::Result;
use crate::model::{BATCH_TOKENS, Model};
use crate::text::Sequence;

/// One sequence for the encoder. An input may need several: a window of its text, or a label to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The tokens of the sequence.
    pub sequence: Sequence,
    /// The positions where a language model predicts words.
    pub picked: Vec<usize>,
    /// The number of first tokens that pooling ignores: those of a prompt.
    pub skipped: usize,
}

impl From<Sequence> for Item {
    fn from(sequence: Sequence) -> Self {
        Self { sequence, picked: Vec::new(), skipped: 0 }
    }
}

/// A model that turns batches into numbers.
pub trait Predictor {
    /// The largest batch. A sequence that is longer runs alone.
    fn limits(&self) -> Limits;

    /// What the rows of its first output stand for.
    fn per(&self) -> Per;

    /// The first output for a batch, row after row.
    ///
    /// # Errors
    /// The errors of the model and its device.
    fn predict(&mut self, batch: &Batch, cancel: &Cancel) -> impl Future<Output = Result<Vec<f32>>>;
}

/// The most that one batch may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// T
    pub tokens: usize,
    /// B
    pub sequences: usize,
    /// P
    pub picked: usize,
}

impl Predictor for &Model {
    fn limits(&self) -> Limits {
        Limits {
            tokens: BATCH_TOKENS.min(self.max_tokens()),
            sequences: self.max_sequences(),
            picked: self.max_picked(),
        }
    }

    fn per(&self) -> Per {
        self.head().per()
    }

    async fn predict(&mut self, batch: &Batch, cancel: &Cancel) -> Result<Vec<f32>> {
        self.forward(batch, cancel).await
    }
}

/// The rows of an output that belong to one sequence: one for each token, one for each picked token, or one.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Row after row.
    pub values: &'a [f32],
    /// The numbers of a row.
    pub cols: usize,
}

impl<'a> Rows<'a> {
    /// Each row.
    pub fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        self.values.chunks(self.cols.max(1))
    }
}

/// Names a sequence: the input, and the number of the sequence within the input.
pub type Key = (usize, usize);

/// A batch that is being filled.
#[derive(Debug)]
pub struct Packer<'a, P> {
    predictor: P,
    cancel: &'a Cancel,
    limits: Limits,
    batch: Batch,
    keys: Vec<Key>,
    /// For each sequence, the range of its picked tokens among those of the batch.
    picked: Vec<Range<usize>>,
}

impl<'a, P: Predictor> Packer<'a, P> {
    /// An empty batch for this predictor.
    pub fn new(predictor: P, cancel: &'a Cancel) -> Self {
        let limits = predictor.limits();
        Self { predictor, cancel, limits, batch: Batch::default(), keys: Vec::new(), picked: Vec::new() }
    }

    /// Adds a sequence. If the batch has no room for it, the batch runs first, and `take` gets the rows of each of its sequences.
    ///
    /// # Errors
    /// The errors of [`Predictor::predict`].
    pub async fn push(&mut self, key: Key, item: &Item, take: &mut dyn FnMut(Key, Rows<'_>)) -> Result<()> {
        if !self.has_room(item) {
            self.run(take).await?;
        }
        self.batch.push(&item.sequence.ids, &item.sequence.types);
        self.batch.skip(item.skipped);
        let first = self.batch.picked.len();
        item.picked.iter().for_each(|position| self.batch.pick(*position));
        self.picked.push(first..self.batch.picked.len());
        self.keys.push(key);
        Ok(())
    }

    /// Runs the sequences that wait, and empties the batch.
    ///
    /// # Errors
    /// The errors of [`Predictor::predict`].
    pub async fn run(&mut self, take: &mut dyn FnMut(Key, Rows<'_>)) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let (keys, picked) = (std::mem::take(&mut self.keys), std::mem::take(&mut self.picked));
        let values = self.predictor.predict(&batch, self.cancel).await?;
        let per = self.predictor.per();
        let rows = match per {
            Per::Token => batch.tokens(),
            Per::Sequence => batch.sequences(),
            Per::Picked => batch.picked.len(),
        };
        let cols = values.len().checked_div(rows).unwrap_or(0);
        assert_eq!(values.len(), rows * cols, "numbers of {rows} rows");
        for (at, (key, tokens)) in keys.into_iter().zip(batch.ranges()).enumerate() {
            let own = match per {
                Per::Token => tokens,
                Per::Sequence => at..at + 1,
                Per::Picked => picked[at].clone(),
            };
            take(key, Rows { values: &values[own.start * cols..own.end * cols], cols });
        }
        Ok(())
    }

    fn has_room(&self, item: &Item) -> bool {
        let Limits { tokens, sequences, picked } = self.limits;
        self.keys.is_empty()
            || (self.batch.tokens() + item.sequence.ids.len() <= tokens
                && self.keys.len() < sequences
                && self.batch.picked.len() + item.picked.len() <= picked)
    }
}
