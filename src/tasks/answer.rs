//! Extractive question answering: the spans of a context that answer a question.
//!
//! Scores, word alignment, merging and order are those of the question answering pipeline of transformers 4.57. In each
//! window, a softmax turns the logits of the context's tokens and `[CLS]` into probabilities. A span's score is
//! P(start) P(end). The best spans of each window are widened to whole words. Spans whose texts differ only by case add
//! up over the whole context, so a score can exceed 1.
//!
//! There are two differences. The pipeline's order of equal scores depends on its sort; here the earlier start comes
//! first, then the earlier end. If more answers are requested than there are spans, the pipeline fills up with
//! impossible ones of score 0 (ends before starts, spans with `[CLS]`); here they are omitted.

use std::collections::HashMap;
use std::ops::Range;

use super::scores::{best, check_finite, softmax};
use crate::text::windows::{self, WindowOptions};
use crate::text::{Encoding, Sequence, Tokenizer};
use crate::{Error, Result};

/// Options of question answering. The defaults are those of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerOptions {
    /// The most answers to return, best first. At least 1.
    pub top_k: usize,
    /// The longest answer in tokens, before it is widened to whole words. At least 1.
    pub max_answer_tokens: usize,
    /// Lets "the context has no answer" compete: an empty answer, whose score is the smallest P(`[CLS]`, `[CLS]`) of
    /// all windows.
    pub no_answer: bool,
    /// Widen answers to whole words.
    pub align_to_words: bool,
    /// The tokens of a window. By default 384, or the longest sequence of the model if that is shorter.
    pub max_seq_len: Option<usize>,
    /// The context tokens that neighbouring windows share. By default 128, or half a window if that is less, and even
    /// less beside a question of more than about 200 tokens ([`windows`]).
    pub doc_stride: Option<usize>,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            top_k: 1,
            max_answer_tokens: 15,
            no_answer: false,
            align_to_words: true,
            max_seq_len: None,
            doc_stride: None,
        }
    }
}

impl AnswerOptions {
    /// Checks that each number is in its range.
    ///
    /// # Errors
    /// [`Error::Option`] if a number that must be at least 1 is 0.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("top_k", self.top_k), ("max_answer_tokens", self.max_answer_tokens)] {
            if value == 0 {
                return Err(Error::Option { name, problem: "it is 0".into(), help: "Give at least 1".into() });
            }
        }
        Ok(())
    }
}

/// The most bytes that the distinct answers of a text may take before the best are chosen.
const MOST_BYTES: usize = 128 << 20;

/// A part of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The context's text from `start` to `end`; empty for "no answer".
    pub text: String,
    /// P(start) P(end), summed over the places and windows that have the same text.
    pub score: f64,
    /// The first byte in the context. If several places have the same text, this is the first place.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A model's logits for one window: one number for each token, `[S]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanLogits {
    /// The logit of an answer that starts at each token.
    pub start: Vec<f32>,
    /// The logit of an answer that ends with each token.
    pub end: Vec<f32>,
}

/// A model's probabilities for one token of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScore {
    /// Its bytes in the context.
    pub bytes: Range<usize>,
    /// P(the answer starts here), the highest of all windows that contain the token.
    pub start: f32,
    /// P(the answer ends with it), the highest of the same windows.
    pub end: f32,
}

/// A question and its context as tokens, in windows.
#[derive(Clone, Debug)]
pub struct Windowed {
    /// The question.
    pub question: Encoding,
    /// The whole context.
    pub context: Encoding,
    /// The context tokens of each window.
    pub windows: Vec<Range<usize>>,
    /// The position in each window where the context begins, in tokens.
    context_start: usize,
    /// The number of special tokens after the context.
    after: usize,
    /// The positions of `[CLS]` before the context.
    cls: Vec<usize>,
}

impl Windowed {
    /// Tokenizes both texts and cuts the context into windows. `max_len` is the longest sequence of the model
    /// (`max_position_embeddings`).
    ///
    /// # Errors
    /// [`Error::Input`] if a text has no tokens, or the question does not fit into a window; [`Error::Option`] if an
    /// option is out of range.
    pub fn new(
        tokenizer: &Tokenizer,
        question: &str,
        context: &str,
        max_len: usize,
        options: &AnswerOptions,
    ) -> Result<Self> {
        options.check()?;
        let lengths = WindowOptions::new(max_len, options.max_seq_len, options.doc_stride)?;
        let encoded = lengths.encode_question(tokenizer, question)?;
        let texts = [(question, encoded), (context, tokenizer.encode(context)?)];
        Self::of(tokenizer, texts, usize::MAX, &lengths)
    }

    /// The same with these lengths, and with the question cut to `max_question` tokens.
    pub(super) fn with_lengths(
        tokenizer: &Tokenizer,
        question: &str,
        context: &str,
        max_question: usize,
        lengths: &WindowOptions,
    ) -> Result<Self> {
        let texts = [(question, tokenizer.encode(question)?), (context, tokenizer.encode(context)?)];
        Self::of(tokenizer, texts, max_question, lengths)
    }

    /// The same for a question and a context that are already tokenized. Each stands beside its text.
    pub(super) fn of(
        tokenizer: &Tokenizer,
        [question, context]: [(&str, Encoding); 2],
        max_question: usize,
        lengths: &WindowOptions,
    ) -> Result<Self> {
        let mut question = some(question, "question")?;
        let context = some(context, "context")?;
        question.truncate(max_question);
        // If a tokenizer adds more special tokens than BERT's three, the others count as part of the question.
        let beside = (question.len() + tokenizer.special_count(true)).saturating_sub(windows::SPECIAL);
        let mut windows = windows::cut(beside, context.len(), lengths)?;
        if tokenizer.cuts_left() {
            // Then the windows are laid out from the end of the context.
            windows.iter_mut().for_each(|window| *window = context.len() - window.end..context.len() - window.start);
        }
        let context_start = tokenizer.second_start(question.len());
        let around = tokenizer.pair(&question.ids, &[]).ids;
        let cls = tokenizer.special().cls;
        let cls = (0..context_start).filter(|at| around.get(*at) == Some(&cls)).collect();
        Ok(Self { question, context, windows, context_start, after: around.len() - context_start, cls })
    }

    /// The sequences that the encoder reads, one for each window.
    pub fn sequences<'a>(&'a self, tokenizer: &'a Tokenizer) -> impl ExactSizeIterator<Item = Sequence> + 'a {
        self.windows.iter().map(|w| tokenizer.pair(&self.question.ids, &self.context.ids[w.clone()]))
    }

    /// The sequence of one window; `None` after the last.
    pub(super) fn sequence(&self, tokenizer: &Tokenizer, window: usize) -> Option<Sequence> {
        let tokens = self.windows.get(window)?.clone();
        Some(tokenizer.pair(&self.question.ids, &self.context.ids[tokens]))
    }

    /// The position in each window where the context begins, in tokens.
    pub(crate) fn context_start(&self) -> usize {
        self.context_start
    }

    /// The length of a window, with its special tokens.
    fn window_len(&self, window: &Range<usize>) -> usize {
        self.context_start + window.len() + self.after
    }

    /// # Panics
    /// If `logits` does not have one entry for each window, with one number for each token.
    pub(super) fn check_logits(&self, logits: &[SpanLogits]) -> Result<()> {
        assert_eq!(logits.len(), self.windows.len(), "logits against windows");
        for (window, SpanLogits { start, end }) in self.windows.iter().zip(logits) {
            assert_eq!(
                (start.len(), end.len()),
                (self.window_len(window), self.window_len(window)),
                "logits of a window"
            );
            check_finite(start.iter().chain(end))?;
        }
        Ok(())
    }

    /// The best answers, best first: at least one, at most `top_k`. `context` must be the text from which this was
    /// made.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range, [`Error::NotFinite`] if a logit is infinite or NaN.
    ///
    /// # Panics
    /// If `logits` does not have one entry for each window, with one number for each token.
    pub fn answers(&self, context: &str, logits: &[SpanLogits], options: &AnswerOptions) -> Result<Vec<Answer>> {
        options.check()?;
        self.check_logits(logits)?;
        // Widening to whole words makes some spans equal, so more are needed.
        let wanted = match options.align_to_words {
            true => options.top_k.saturating_mul(2).saturating_add(10),
            false => options.top_k,
        };
        let mut answers: Vec<Answer> = Vec::new();
        let mut held = 0;
        let too_many = || Error::Option {
            name: "top_k",
            problem: format!("{} answers to a text of this length take more than {MOST_BYTES} bytes", options.top_k),
            help: "Ask for fewer".into(),
        };
        let mut by_text: HashMap<String, usize> = HashMap::new();
        let mut null_score = f64::INFINITY;
        for (window, logits) in self.windows.iter().zip(logits) {
            let start = self.probabilities(window, &logits.start);
            let end = self.probabilities(window, &logits.end);
            null_score = null_score.min(f64::from(start[0] * end[0]));
            let inner = self.context_start()..self.context_start() + window.len();
            for span in best_spans(&start[inner.clone()], &end[inner], wanted, options.max_answer_tokens) {
                let tokens = window.start + span.first..=window.start + span.last;
                let bytes = self.bytes(window, *tokens.start(), *tokens.end(), options.align_to_words);
                let text = context.get(bytes.clone()).expect("offsets are places in the context");
                let score = f64::from(span.score);
                match by_text.get(&text.to_lowercase()).and_then(|i| answers.get_mut(*i)) {
                    Some(answer) => answer.score += score,
                    None => {
                        held += 2 * text.len() + size_of::<Answer>();
                        if held > MOST_BYTES {
                            return Err(too_many());
                        }
                        by_text.insert(text.to_lowercase(), answers.len());
                        answers.push(Answer { text: text.to_owned(), score, start: bytes.start, end: bytes.end });
                    }
                }
            }
        }
        if options.no_answer {
            answers.push(Answer { text: String::new(), score: null_score, start: 0, end: 0 });
        }
        // The sort is stable: of two equal scores, that of the earlier window comes first.
        answers.sort_by(|a, b| b.score.total_cmp(&a.score));
        answers.truncate(options.top_k);
        Ok(answers)
    }

    /// The probabilities of each token of the context, in order.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a logit is infinite or NaN.
    ///
    /// # Panics
    /// If `logits` does not have one entry for each window, with one number for each token.
    pub fn token_scores(&self, logits: &[SpanLogits]) -> Result<Vec<TokenScore>> {
        self.check_logits(logits)?;
        let unread = |bytes: &Range<usize>| TokenScore { bytes: bytes.clone(), start: 0.0, end: 0.0 };
        let mut scores: Vec<_> = self.context.offsets.iter().map(unread).collect();
        for (window, logits) in self.windows.iter().zip(logits) {
            let [start, end] = [&logits.start, &logits.end].map(|logits| self.probabilities(window, logits));
            let read = start.iter().zip(&end).skip(self.context_start());
            for (score, (start, end)) in scores[window.clone()].iter_mut().zip(read) {
                score.start = score.start.max(*start);
                score.end = score.end.max(*end);
            }
        }
        Ok(scores)
    }

    /// The number of tokens that the encoder reads: those of all windows, with the question and the special tokens.
    pub fn tokens(&self) -> usize {
        self.windows.iter().map(|window| self.window_len(window)).sum()
    }

    /// The softmax over `[CLS]` and the context. The question is masked as in the pipeline.
    fn probabilities(&self, window: &Range<usize>, logits: &[f32]) -> Vec<f32> {
        let mut x = vec![-10_000.0; logits.len()];
        let context = self.context_start()..self.context_start() + window.len();
        x[context.clone()].copy_from_slice(&logits[context]);
        // The pipeline does not mask any [CLS], even one that the question spells out.
        for at in &self.cls {
            x[*at] = logits[*at];
        }
        softmax(&mut x);
        x
    }

    /// The bytes of the context from token `first` to token `last`. With `align`, they are widened to whole words,
    /// within the window.
    fn bytes(&self, window: &Range<usize>, mut first: usize, mut last: usize, align: bool) -> Range<usize> {
        let Encoding { words, offsets, .. } = &self.context;
        if align {
            while first > window.start && words[first - 1] == words[first] {
                first -= 1;
            }
            while last + 1 < window.end && words[last + 1] == words[last] {
                last += 1;
            }
        }
        offsets[first].start..offsets[last].end
    }
}

/// The tokens of a text, which must have at least one.
fn some((text, encoding): (&str, Encoding), what: &str) -> Result<Encoding> {
    if encoding.is_empty() {
        let problem = match text.is_empty() {
            true => format!("the {what} is empty"),
            false => format!("the {what} is nothing but white space or control characters"),
        };
        return Err(Error::Input { problem, help: "Give some text".into() });
    }
    Ok(encoding)
}

/// A span of the window's context, in tokens. Both ends are included.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    score: f32,
    first: usize,
    last: usize,
}

/// The `count` spans of at most `max_len` tokens with the greatest `start[first] * end[last]`, best first.
fn best_spans(start: &[f32], end: &[f32], count: usize, max_len: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    for (first, s) in start.iter().enumerate() {
        let lasts = end.iter().enumerate().skip(first).take(max_len);
        spans.extend(lasts.map(|(last, e)| Span { score: s * e, first, last }));
    }
    best(spans, count, |a, b| b.score.total_cmp(&a.score).then((a.first, a.last).cmp(&(b.first, b.last))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_spans_against_all_spans_sorted() {
        let values = |seed: u32, n: usize| -> Vec<f32> {
            (0..n as u32).map(|i| ((i * 7919 + seed) % 13) as f32 / 13.0).collect()
        };
        for (n, count, max_len) in [(1, 1, 1), (9, 4, 3), (9, 100, 2), (40, 12, 15), (40, 12, usize::MAX)] {
            let (start, end) = (values(3, n), values(11, n));
            let mut all: Vec<_> = (0..n)
                .flat_map(|first| (first..n).map(move |last| (first, last)))
                .filter(|(first, last)| last - first < max_len)
                .map(|(first, last)| Span { score: start[first] * end[last], first, last })
                .collect();
            all.sort_by(|a, b| b.score.total_cmp(&a.score));
            all.truncate(count);
            assert_eq!(best_spans(&start, &end, count, max_len), all, "{n} {count} {max_len}");
        }
    }
}
