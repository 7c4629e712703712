//! Whether one text follows another. BERT was pre-trained to predict this.

use super::pack::Item;
use super::run::{Single, Task};
use super::scores::softmax;
use super::text_model::{TextModel, TextPair};
use crate::device::Cancel;
use crate::error::{Error, Result};
use crate::model::Model;

/// A next sentence predictor (`BertForNextSentencePrediction`).
#[derive(Debug)]
pub struct NextSentence(TextModel);

impl NextSentence {
    /// A task over a model with the head `NextSentence`.
    pub fn new(text_model: TextModel) -> Self {
        Self(text_model)
    }

    /// The model with its tokenizer.
    pub fn text_model(&self) -> &TextModel {
        &self.0
    }
}

impl Task for NextSentence {
    type Input = TextPair;
    type Options = ();
    type Work = Single;
    /// The probability, 0 to 1, that the second text follows the first.
    type Output = f32;

    fn model(&self) -> &Model {
        self.0.model()
    }

    async fn begin(&self, input: &TextPair, (): &(), _: &Cancel) -> Result<Single> {
        if input.pair.is_none() {
            let problem = "the second text is missing".to_owned();
            return Err(Error::Input { problem, help: "Give two texts: text and pair".into() });
        }
        self.0.sequence(input, self.0.max_len()).map(Single::new)
    }

    fn item(&self, work: &Single, index: usize) -> Option<Item> {
        work.item(index)
    }

    fn take(&self, work: &mut Single, _: usize, values: &[f32], (): &()) {
        work.take(values);
    }

    fn end(&self, work: Single, _: &TextPair, (): &()) -> Result<f32> {
        let mut p = work.values;
        softmax(&mut p);
        Ok(p[0])
    }
}
