//! Many inputs through one model: their sequences packed into batches, their results back in order.

use std::ops::Range;

use super::scores::check_finite;
use crate::batch::Batch;
use crate::checkpoint::names::Per;
use crate::device::Cancel;
use crate::error::Result;
use crate::model::{BATCH_TOKENS, Model};
use crate::text::Sequence;

/// What the encoder reads at once for an input, which may need several: a window of its text, a label to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The tokens of the sequence.
    pub sequence: Sequence,
    /// Positions whose words a language model is asked for.
    pub picked: Vec<usize>,
    /// How many of the first tokens pooling leaves out: those of a prompt.
    pub skipped: usize,
}

impl From<Sequence> for Item {
    fn from(sequence: Sequence) -> Self {
        Self { sequence, picked: Vec::new(), skipped: 0 }
    }
}

/// An input that is one sequence at work: its tokens, then what the model says about them.
#[derive(Debug)]
pub struct Single {
    item: Item,
    pub(super) values: Vec<f32>,
}

impl Single {
    pub(super) fn new(item: impl Into<Item>) -> Self {
        Self { item: item.into(), values: Vec::new() }
    }

    pub(super) fn item(&self, index: usize) -> Option<Item> {
        (index == 0).then(|| self.item.clone())
    }

    pub(super) fn take(&mut self, values: &[f32]) {
        self.values = values.to_vec();
    }
}

/// A text task: from an input to the sequences that the model reads, and from what it says to a result.
pub trait Task {
    /// What a caller passes in, such as a text or a pair of texts.
    type Input;
    /// The settings of a call.
    type Options;
    /// An input at work: its tokens, and what the model has said so far.
    type Work;
    /// The result for one input.
    type Output;

    /// The model that reads the sequences.
    fn model(&self) -> &Model;

    /// Tokenizes. Who reads long texts gives way meanwhile.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a text that cannot be worked on, [`Error::Option`](crate::Error::Option),
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    fn begin(
        &self,
        input: &Self::Input,
        options: &Self::Options,
        cancel: &Cancel,
    ) -> impl Future<Output = Result<Self::Work>>;

    /// The sequence with this number, counted from 0; nothing after the last.
    fn item(&self, work: &Self::Work, index: usize) -> Option<Item>;

    /// Takes what the model says about a sequence: the rows of the head's first output that are the sequence's own.
    fn take(&self, work: &mut Self::Work, index: usize, values: &[f32], options: &Self::Options);

    /// Rows of an input's result, about: what a caller that keeps results may count on.
    fn rows(&self, _options: &Self::Options) -> usize {
        1
    }

    /// The result, once every sequence was taken.
    fn end(&self, work: Self::Work, input: &Self::Input, options: &Self::Options) -> Result<Self::Output>;
}

/// Runs the inputs in packed batches; a result or an error for each, in order.
///
/// # Errors
/// What stops everything: the device's own errors and [`Error::Cancelled`](crate::Error::Cancelled). What is wrong with one
/// input is in its place.
pub async fn run<T: Task>(
    task: &T,
    inputs: &[T::Input],
    options: &T::Options,
    cancel: &Cancel,
) -> Result<Vec<Result<T::Output>>> {
    let model = task.model();
    let most = Most {
        tokens: BATCH_TOKENS.min(model.max_tokens()),
        sequences: model.max_sequences(),
        picked: model.max_picked(),
    };
    let mut works: Vec<Result<T::Work>> = Vec::with_capacity(inputs.len());
    for input in inputs {
        model.device().give_way(cancel).await?;
        works.push(task.begin(input, options, cancel).await);
    }
    cancel.check()?;
    let mut pack = Pack::default();
    for at in 0..works.len() {
        let mut index = 0;
        while let Some(item) = works[at].as_ref().ok().and_then(|work| task.item(work, index)) {
            if !pack.has_room(&item, &most) {
                let said = pack.run(model, cancel).await?;
                hand_out(task, &said, &mut works, options);
            }
            pack.push(at, index, &item);
            index += 1;
        }
    }
    let said = pack.run(model, cancel).await?;
    hand_out(task, &said, &mut works, options);
    let end = |(work, input): (Result<T::Work>, &T::Input)| task.end(work?, input, options);
    Ok(works.into_iter().zip(inputs).map(end).collect())
}

/// Runs one input.
///
/// # Errors
/// Its own, and the device's.
pub async fn run_one<T: Task>(task: &T, input: &T::Input, options: &T::Options, cancel: &Cancel) -> Result<T::Output> {
    let mut results = run(task, std::slice::from_ref(input), options, cancel).await?;
    results.pop().unwrap_or_else(|| unreachable!("a result an input"))
}

/// What a batch may hold.
struct Most {
    tokens: usize,
    sequences: usize,
    picked: usize,
}

/// A batch being filled.
#[derive(Default)]
struct Pack {
    batch: Batch,
    /// The input and the number of each sequence.
    of: Vec<(usize, usize)>,
    /// Where each sequence's picked tokens lie among the batch's.
    picked: Vec<Range<usize>>,
}

impl Pack {
    fn has_room(&self, item: &Item, most: &Most) -> bool {
        self.of.is_empty()
            || (self.batch.tokens() + item.sequence.ids.len() <= most.tokens
                && self.of.len() < most.sequences
                && self.batch.picked.len() + item.picked.len() <= most.picked)
    }

    fn push(&mut self, input: usize, index: usize, item: &Item) {
        self.batch.push(&item.sequence.ids, &item.sequence.types);
        self.batch.skip(item.skipped);
        let first = self.batch.picked.len();
        item.picked.iter().for_each(|position| self.batch.pick(*position));
        self.picked.push(first..self.batch.picked.len());
        self.of.push((input, index));
    }

    /// Runs what there is. No task is named here, for each would have this code compiled once more.
    async fn run(&mut self, model: &Model, cancel: &Cancel) -> Result<Said> {
        let Pack { batch, of, picked } = std::mem::take(self);
        if of.is_empty() {
            return Ok(Said::default());
        }
        let outputs = model.outputs(&batch, cancel).await?;
        let first = outputs.into_iter().next().unwrap_or_else(|| unreachable!("every head gives something"));
        let rows = |(at, tokens): (usize, Range<usize>)| match model.head().per() {
            Per::Token => tokens,
            Per::Sequence => at..at + 1,
            Per::Picked => picked[at].clone(),
        };
        let numbers = |rows: Range<usize>| rows.start * first.cols..rows.end * first.cols;
        let own = batch.ranges().enumerate().map(rows).map(numbers).collect();
        Ok(Said { of, own, values: first.values })
    }
}

/// What the model says about a batch.
#[derive(Default)]
struct Said {
    /// The input and the number of each sequence.
    of: Vec<(usize, usize)>,
    /// Where each sequence's values are.
    own: Vec<Range<usize>>,
    values: Vec<f32>,
}

fn hand_out<T: Task>(task: &T, said: &Said, works: &mut [Result<T::Work>], options: &T::Options) {
    for ((input, index), own) in said.of.iter().zip(&said.own) {
        let values = &said.values[own.clone()];
        if let Err(error) = check_finite(values) {
            works[*input] = Err(error);
        } else if let Ok(work) = &mut works[*input] {
            task.take(work, *index, values, options);
        }
    }
}
