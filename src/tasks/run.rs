//! Many inputs through one model: their sequences packed into batches, their results back in order.

use super::pack::{Item, Key, Packer, Rows};
use super::scores::check_finite;
use crate::device::Cancel;
use crate::error::Result;
use crate::model::Model;

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
    let mut works: Vec<Result<T::Work>> = Vec::with_capacity(inputs.len());
    for input in inputs {
        model.device().give_way(cancel).await?;
        works.push(task.begin(input, options, cancel).await);
    }
    cancel.check()?;
    let mut packer = Packer::new(model, cancel);
    for at in 0..works.len() {
        let mut index = 0;
        while let Some(item) = works[at].as_ref().ok().and_then(|work| task.item(work, index)) {
            packer.push((at, index), &item, &mut |key, rows| take(task, key, rows, &mut works, options)).await?;
            index += 1;
        }
    }
    packer.run(&mut |key, rows| take(task, key, rows, &mut works, options)).await?;
    let end = |(work, input): (Result<T::Work>, &T::Input)| task.end(work?, input, options);
    Ok(works.into_iter().zip(inputs).map(end).collect())
}

/// Gives an input the rows of one of its sequences. If they are not finite, its result is an error.
fn take<T: Task>(
    task: &T,
    (input, index): Key,
    Rows { values, .. }: Rows<'_>,
    works: &mut [Result<T::Work>],
    options: &T::Options,
) {
    if let Err(error) = check_finite(values) {
        works[input] = Err(error);
    } else if let Ok(work) = &mut works[input] {
        task.take(work, index, values, options);
    }
}

/// Runs one input.
///
/// # Errors
/// Its own, and the device's.
pub async fn run_one<T: Task>(task: &T, input: &T::Input, options: &T::Options, cancel: &Cancel) -> Result<T::Output> {
    let mut results = run(task, std::slice::from_ref(input), options, cancel).await?;
    results.pop().expect("one result for one input")
}
