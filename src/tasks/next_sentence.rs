//! Whether a text follows another, as BERT was pre-trained to tell.

use super::run::{Item, Task};
use super::scores::softmax;
use super::text_model::{TextModel, TextPair};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::Sequence;

/// A next sentence predictor (`BertForNextSentencePrediction`).
#[derive(Debug)]
pub struct NextSentence(TextModel);

impl NextSentence {
    pub fn new(text_model: TextModel) -> Self {
        Self(text_model)
    }

    pub fn text_model(&self) -> &TextModel {
        &self.0
    }
}

/// A pair at work: its tokens, then the probability that the second follows the first.
#[derive(Debug)]
pub struct Work {
    sequence: Sequence,
    is_next: f32,
}

impl Task for NextSentence {
    type Input = TextPair;
    type Options = ();
    type Work = Work;
    /// The probability, 0 to 1, that the second text follows the first.
    type Output = f32;

    fn model(&self) -> &Model {
        self.0.model()
    }

    fn begin(&self, input: &TextPair, (): &()) -> Result<Work> {
        if input.pair.is_none() {
            let problem = "there is no second text".to_owned();
            return Err(Error::Input { problem, mend: "Give two texts: text and pair".into() });
        }
        Ok(Work { sequence: self.0.sequence(input, self.0.max_len())?, is_next: 0.0 })
    }

    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        (index == 0).then(|| work.sequence.clone().into())
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], (): &()) {
        let mut p = values.to_vec();
        softmax(&mut p);
        work.is_next = p.first().copied().unwrap_or(0.0);
    }

    fn end(&self, work: Work, _: &TextPair, (): &()) -> Result<f32> {
        Ok(work.is_next)
    }
}
