//! Texts as vectors whose angle says how much alike they are.

use super::run::{Item, Single, Task};
use super::text_model::{TextModel, TextPair};
use crate::device::Cancel;
use crate::error::Result;
use crate::model::Model;

/// A sentence encoder: a model loaded with [`Head::Embedding`](crate::checkpoint::Head::Embedding); or with
/// [`Head::Encoder`](crate::checkpoint::Head::Encoder), for a vector a token.
#[derive(Debug)]
pub struct Embedder {
    text_model: TextModel,
    /// Tokens of a text with the special ones; what is beyond is cut off.
    max_len: usize,
    lowercase: bool,
}

/// How to embed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedOptions {
    /// Scale each vector, of a text or of a token, to length 1.
    pub normalize: bool,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self { normalize: true }
    }
}

impl Embedder {
    /// Of a `sentence` description only how texts are read counts; how they are pooled, the model was loaded with.
    pub fn new(text_model: TextModel, sentence: &crate::sentence::Sentence) -> Self {
        let positions = text_model.model().config().max_position_embeddings;
        let max_len = sentence.max_seq_length.map_or(text_model.max_len(), |n| n.min(positions));
        Self { text_model, max_len, lowercase: sentence.do_lower_case }
    }

    pub fn text_model(&self) -> &TextModel {
        &self.text_model
    }
}

impl Task for Embedder {
    type Input = TextPair;
    type Options = EmbedOptions;
    type Work = Single;
    /// `[H]`, or `[S, H]` of an encoder without pooling
    type Output = Vec<f32>;

    fn model(&self) -> &Model {
        self.text_model.model()
    }

    async fn begin(&self, input: &TextPair, _: &EmbedOptions, _: &Cancel) -> Result<Single> {
        let sequence = if self.lowercase {
            let pair = input.pair.as_ref().map(|p| p.to_lowercase());
            self.text_model.sequence(&TextPair { text: input.text.to_lowercase(), pair }, self.max_len)?
        } else {
            self.text_model.sequence(input, self.max_len)?
        };
        Ok(Single::new(sequence))
    }

    fn item(&self, work: &Single, index: usize) -> Option<Item> {
        work.item(index)
    }

    fn take(&self, work: &mut Single, _: usize, values: &[f32], _: &EmbedOptions) {
        work.take(values);
    }

    fn end(&self, work: Single, _: &TextPair, options: &EmbedOptions) -> Result<Vec<f32>> {
        let mut embedding = work.values;
        if !options.normalize {
            return Ok(embedding);
        }
        for row in embedding.chunks_exact_mut(self.model().config().hidden_size) {
            let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            // As in PyTorch: a vector of zeros stays one.
            let length = length.max(1e-12) as f32;
            row.iter_mut().for_each(|x| *x /= length);
        }
        Ok(embedding)
    }
}
