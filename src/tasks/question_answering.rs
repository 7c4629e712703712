//! Question answering from text to answers: tokenizer, windows, packed batches, model, decoding.

use std::sync::Arc;

use super::answer::{Answer, AnswerOptions, SpanLogits, Windowed};
use super::run::{Item, Task};
use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Head};
use crate::device::{Cancel, Device};
use crate::error::Result;
use crate::model::{BATCH_TOKENS, Model};
use crate::text::{Sequence, Tokenizer};

/// A question and the text that may hold its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub question: String,
    pub context: String,
}

/// A question answering model with its tokenizer, on a device.
#[derive(Debug)]
pub struct QuestionAnswering {
    tokenizer: Tokenizer,
    model: Model,
}

impl QuestionAnswering {
    /// A checkpoint of a `BertForQuestionAnswering` with its tokenizer, wherever they came from.
    ///
    /// # Errors
    /// What [`Model::load`] refuses: another head, a device that cannot take it.
    pub fn new(checkpoint: Checkpoint, tokenizer: Tokenizer, device: impl Into<Arc<Device>>) -> Result<Self> {
        Ok(Self { tokenizer, model: Model::load(checkpoint, Head::QuestionAnswering, device)? })
    }

    /// Opens a Hugging Face directory of a `BertForQuestionAnswering`.
    ///
    /// # Errors
    /// What [`Checkpoint::open`], [`Tokenizer::load`] and [`Model::load`] refuse.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path, device: impl Into<Arc<Device>>) -> Result<Self> {
        let checkpoint = Checkpoint::open(dir)?;
        let tokenizer = Tokenizer::load(dir, checkpoint.config().vocab_size)?;
        Self::new(checkpoint, tokenizer, device)
    }

    /// The default model, which is compiled in: MiniLM-L6 in i8; its card says what it can and cannot do.
    ///
    /// # Errors
    /// What [`Model::load`] refuses: a device that cannot take it.
    #[cfg(feature = "embedded-model")]
    pub fn embedded(device: impl Into<Arc<Device>>) -> Result<Self> {
        let checkpoint = crate::embedded::checkpoint()?;
        let tokenizer = crate::embedded::tokenizer(checkpoint.config().vocab_size)?;
        Self::new(checkpoint, tokenizer, device)
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The longest sequence that the model takes, in tokens.
    pub fn max_len(&self) -> usize {
        self.model.config().max_position_embeddings
    }

    /// The spans of `context` that answer `question`, best first; at least one, at most `top_k`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) if a text is empty or the question fills the window,
    /// [`Error::Option`](crate::Error::Option) for options out of range, and the device's own errors.
    pub async fn answer(
        &self,
        question: &str,
        context: &str,
        options: &AnswerOptions,
        cancel: &Cancel,
    ) -> Result<Vec<Answer>> {
        let windowed = Windowed::new(&self.tokenizer, question, context, self.max_len(), options)?;
        let logits = self.logits(windowed.sequences(&self.tokenizer), cancel).await?;
        windowed.answers(context, &logits, options)
    }

    /// Start and end logits of each sequence, run in packed batches.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub async fn logits(&self, sequences: impl Iterator<Item = Sequence>, cancel: &Cancel) -> Result<Vec<SpanLogits>> {
        let most = BATCH_TOKENS.min(self.model.max_tokens());
        let mut logits = Vec::new();
        let mut batch = Batch::default();
        for sequence in sequences {
            if batch.tokens() > 0 && batch.tokens() + sequence.ids.len() > most {
                self.run(&batch, &mut logits, cancel).await?;
                batch = Batch::default();
            }
            batch.push(&sequence.ids, &sequence.types);
        }
        if batch.tokens() > 0 {
            self.run(&batch, &mut logits, cancel).await?;
        }
        Ok(logits)
    }

    async fn run(&self, batch: &Batch, logits: &mut Vec<SpanLogits>, cancel: &Cancel) -> Result<()> {
        let pairs = self.model.forward(batch, cancel).await?;
        logits.extend(batch.ranges().map(|range| span_logits(&pairs[range.start * 2..range.end * 2])));
        Ok(())
    }
}

/// The logits of a window from its tokens' pairs `[S, 2]`.
fn span_logits(pairs: &[f32]) -> SpanLogits {
    let (start, end) = pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
    SpanLogits { start, end }
}

impl Task for QuestionAnswering {
    type Input = Question;
    type Options = AnswerOptions;
    type Work = (Windowed, Vec<SpanLogits>);
    type Output = Vec<Answer>;

    fn model(&self) -> &Model {
        &self.model
    }

    fn begin(&self, input: &Question, options: &AnswerOptions) -> Result<Self::Work> {
        let Question { question, context } = input;
        Ok((Windowed::new(&self.tokenizer, question, context, self.max_len(), options)?, Vec::new()))
    }

    fn item(&self, (windowed, _): &Self::Work, index: usize) -> Option<Item> {
        windowed.sequence(&self.tokenizer, index).map(Item::from)
    }

    fn take(&self, (_, logits): &mut Self::Work, _: usize, values: &[f32], _: &AnswerOptions) {
        logits.push(span_logits(values));
    }

    fn end(&self, (windowed, logits): Self::Work, input: &Question, options: &AnswerOptions) -> Result<Vec<Answer>> {
        windowed.answers(&input.context, &logits, options)
    }
}
