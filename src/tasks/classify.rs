//! The classes of a text or of a pair of texts, with their scores.
//!
//! Scores are those of the text-classification pipeline of transformers 4.57. `problem_type` says how logits become
//! scores: by a softmax if exactly one class is right, by a sigmoid if several can be right, and unchanged for a
//! regression. If it is missing, one label means a sigmoid, and several labels mean a softmax.

use super::pack::Item;
use super::run::{Single, Task};
pub use super::scores::Scored;
use super::scores::{ranked, sigmoid, softmax};
use super::text_model::{TextModel, TextPair};
use crate::config::{Config, ProblemType};
use crate::device::Cancel;
use crate::error::Result;
use crate::model::Model;

/// A sequence classifier.
#[derive(Debug)]
pub struct Classifier(TextModel);

/// The function that turns logits into scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scoring {
    Softmax,
    Sigmoid,
    Raw,
}

impl Scoring {
    fn of(config: &Config) -> Self {
        match config.problem() {
            Some(ProblemType::Regression) => Scoring::Raw,
            Some(ProblemType::MultiLabel) => Scoring::Sigmoid,
            // Training takes one label as a value. So does transformers, in training alone.
            _ if config.num_labels() == 1 => Scoring::Sigmoid,
            _ => Scoring::Softmax,
        }
    }
}

impl Classifier {
    /// A classifier over a model with the head `SequenceClassification`.
    pub fn new(text_model: TextModel) -> Self {
        Self(text_model)
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.0
    }
}

impl Task for Classifier {
    type Input = TextPair;
    type Options = ();
    type Work = Single;
    type Output = Vec<Scored>;

    fn model(&self) -> &Model {
        self.0.model()
    }

    async fn begin(&self, input: &TextPair, (): &(), _: &Cancel) -> Result<Single> {
        self.0.sequence(input, self.0.max_len()).map(Single::new)
    }

    fn item(&self, work: &Single, index: usize) -> Option<Item> {
        work.item(index)
    }

    fn take(&self, work: &mut Single, _: usize, values: &[f32], (): &()) {
        work.take(values);
    }

    fn rows(&self, (): &()) -> usize {
        self.0.model().config().num_labels()
    }

    /// All classes, best first.
    fn end(&self, work: Single, _: &TextPair, (): &()) -> Result<Vec<Scored>> {
        let config = self.0.model().config();
        let mut scores = work.values;
        match Scoring::of(config) {
            Scoring::Softmax => softmax(&mut scores),
            Scoring::Sigmoid => sigmoid(&mut scores),
            Scoring::Raw => {}
        }
        Ok(ranked((0..scores.len()).map(|class| config.label(class)), &scores))
    }
}
