//! Question answering from text to answers: tokenizer, windows, packed batches, model, decoding.

use std::sync::Arc;

use super::answer::{Answer, AnswerOptions, SpanLogits, TokenScore, Windowed};
use super::pack::Item;
use super::run::{Task, run_one};
use super::text_model::TextModel;
use crate::checkpoint::{Checkpoint, Head};
use crate::device::{Cancel, Device};
use crate::error::Result;
use crate::model::Model;
use crate::text::Tokenizer;
use crate::text::windows::WindowOptions;

/// A question and the text that may hold its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The question.
    pub question: String,
    /// The text that may contain the answer.
    pub context: String,
}

/// A question answering model with its tokenizer, on a device.
#[derive(Debug)]
pub struct QuestionAnswering(TextModel);

impl QuestionAnswering {
    /// A `BertForQuestionAnswering` from a checkpoint, with its tokenizer. Both may come from any source.
    ///
    /// # Errors
    /// Those of [`Model::load`]: another head, or a model that the device cannot hold.
    pub fn new(checkpoint: Checkpoint, tokenizer: Tokenizer, device: impl Into<Arc<Device>>) -> Result<Self> {
        TextModel::new(checkpoint, tokenizer, Head::QuestionAnswering, device).map(Self)
    }

    /// Opens a Hugging Face directory of a `BertForQuestionAnswering`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], [`Tokenizer::load`] and [`Model::load`].
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path, device: impl Into<Arc<Device>>) -> Result<Self> {
        TextModel::open(dir, Head::QuestionAnswering, device).map(Self)
    }

    /// The default model, which is compiled in: MiniLM-L6 in i8. Its model card says what it can and cannot do.
    ///
    /// # Errors
    /// Those of [`Model::load`]: the device cannot hold it.
    #[cfg(feature = "embedded-model")]
    pub fn embedded(device: impl Into<Arc<Device>>) -> Result<Self> {
        let checkpoint = crate::embedded::checkpoint()?;
        let tokenizer = crate::embedded::tokenizer(checkpoint.config().vocab_size)?;
        Self::new(checkpoint, tokenizer, device)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.0.model()
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.0.tokenizer()
    }

    /// The longest sequence of the model, in tokens.
    pub fn max_len(&self) -> usize {
        self.model().config().max_position_embeddings
    }

    /// The spans of `context` that answer `question`, best first: at least one, at most `top_k`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) if a text is empty or the question fills the window,
    /// [`Error::Option`](crate::Error::Option) if an option is out of range, and the device's errors.
    pub async fn answer(
        &self,
        question: &str,
        context: &str,
        options: &AnswerOptions,
        cancel: &Cancel,
    ) -> Result<Vec<Answer>> {
        let input = Question { question: question.into(), context: context.into() };
        run_one(self, &input, options, cancel).await
    }

    /// The same, with the probabilities of every token.
    ///
    /// # Errors
    /// As for [`answer`](Self::answer).
    pub async fn explain(
        &self,
        question: &str,
        context: &str,
        options: &AnswerOptions,
        cancel: &Cancel,
    ) -> Result<Explanation> {
        let input = Question { question: question.into(), context: context.into() };
        run_one(&Explaining(self), &input, options, cancel).await
    }
}

/// The answers to a question, with the data behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The answers, as [`QuestionAnswering::answer`] returns them.
    pub answers: Vec<Answer>,
    /// The tokens of the context.
    pub context: Vec<TokenScore>,
    /// The number of tokens that the encoder read, in all windows.
    pub tokens: usize,
}

/// Question answering as a task that also returns the probabilities of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Explaining<'a>(pub &'a QuestionAnswering);

/// A question in progress: its windows, and the logits of those that have run.
#[derive(Debug)]
pub struct Work {
    pub(super) windowed: Windowed,
    pub(super) logits: Vec<SpanLogits>,
}

impl Work {
    pub(super) fn new(windowed: Windowed) -> Self {
        Self { windowed, logits: Vec::new() }
    }

    pub(super) fn item(&self, tokenizer: &Tokenizer, window: usize) -> Option<Item> {
        self.windowed.sequence(tokenizer, window).map(Item::from)
    }

    /// Takes the logits of the next window, `[S, 2]`.
    pub(super) fn take(&mut self, pairs: &[f32]) {
        let (start, end) = pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
        self.logits.push(SpanLogits { start, end });
    }
}

impl Task for QuestionAnswering {
    type Input = Question;
    type Options = AnswerOptions;
    type Work = Work;
    type Output = Vec<Answer>;

    fn model(&self) -> &Model {
        self.0.model()
    }

    async fn begin(&self, input: &Question, options: &AnswerOptions, cancel: &Cancel) -> Result<Work> {
        options.check()?;
        let lengths = WindowOptions::new(self.max_len(), options.max_seq_len, options.doc_stride)?;
        let question = lengths.encode_question(self.tokenizer(), &input.question)?;
        let mut context = self.tokenizer().encoder(&input.context);
        while context.step()? {
            self.model().device().give_way(cancel).await?;
        }
        let texts = [(&*input.question, question), (&*input.context, context.finish())];
        Windowed::of(self.tokenizer(), texts, usize::MAX, &lengths).map(Work::new)
    }

    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        work.item(self.tokenizer(), index)
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], _: &AnswerOptions) {
        work.take(values);
    }

    fn end(&self, work: Work, input: &Question, options: &AnswerOptions) -> Result<Vec<Answer>> {
        work.windowed.answers(&input.context, &work.logits, options)
    }
}

impl Task for Explaining<'_> {
    type Input = Question;
    type Options = AnswerOptions;
    type Work = Work;
    type Output = Explanation;

    fn model(&self) -> &Model {
        self.0.model()
    }

    async fn begin(&self, input: &Question, options: &AnswerOptions, cancel: &Cancel) -> Result<Work> {
        self.0.begin(input, options, cancel).await
    }

    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        self.0.item(work, index)
    }

    fn take(&self, work: &mut Work, index: usize, values: &[f32], options: &AnswerOptions) {
        self.0.take(work, index, values, options);
    }

    fn end(&self, work: Work, input: &Question, options: &AnswerOptions) -> Result<Explanation> {
        let context = work.windowed.token_scores(&work.logits)?;
        let tokens = work.windowed.tokens();
        Ok(Explanation { answers: self.0.end(work, input, options)?, context, tokens })
    }
}
