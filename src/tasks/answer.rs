//! Extractive question answering: the spans of a context that answer a question.
//!
//! Scores, word alignment, merging and order are those of the question answering pipeline of transformers 4.57. In
//! each window the logits of the context's tokens and `[CLS]` become probabilities, a span's score is P(start) P(end),
//! the best spans of each window are widened to whole words, and spans with equal text, but for case, add up over the
//! whole context, so a score can exceed 1.
//!
//! Where the pipeline depends on the order in which its sort leaves equal keys, the earlier start and then the earlier
//! end come first here. Where it is asked for more spans than there are it fills up with impossible ones of score 0
//! (ends before starts, spans with `[CLS]`); those are left out.

use std::collections::HashMap;
use std::ops::Range;

use super::scores::{best, check_finite, softmax};
use crate::text::windows::{self, WindowOptions};
use crate::text::{Encoding, Sequence, Tokenizer};
use crate::{Error, Result};

/// How to answer. The defaults are the pipeline's.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerOptions {
    /// How many answers at most, best first. At least 1.
    pub top_k: usize,
    /// The longest answer in tokens, before it is widened to whole words. At least 1.
    pub max_answer_tokens: usize,
    /// Let "the context has no answer" compete: an empty answer, scored by the least P(`[CLS]`, `[CLS]`) of any window.
    pub no_answer: bool,
    /// Widen answers to whole words.
    pub align_to_words: bool,
    /// Tokens of a window; by default 384, or what the model takes if that is less.
    pub max_seq_len: Option<usize>,
    /// Context tokens that neighbouring windows share; by default 128, or half a window if that is less, and less again beside
    /// a question of more than some 200 tokens ([`windows`]).
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

/// Bytes that the different answers of a text may take before the best are chosen.
const MOST_BYTES: usize = 128 << 20;

/// A part of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The context's text from `start` to `end`; empty for "no answer".
    pub text: String,
    /// P(start) P(end), summed over the places and windows that give the same text.
    pub score: f64,
    /// The first byte in the context, of the first place where several have the same text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What the model says about one window: a number a token, `[S]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanLogits {
    /// How much the answer starts at each token.
    pub start: Vec<f32>,
    /// How much the answer ends with each token.
    pub end: Vec<f32>,
}

/// What the model says about one token of the context.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScore {
    /// Its bytes of the context.
    pub bytes: Range<usize>,
    /// P(the answer starts here), the greatest of the windows that have the token.
    pub start: f32,
    /// P(the answer ends with it), likewise.
    pub end: f32,
}

/// A question and its context as tokens, cut into windows.
#[derive(Clone, Debug)]
pub struct Windowed {
    /// The question.
    pub question: Encoding,
    /// The whole context.
    pub context: Encoding,
    /// Each window's tokens of the context.
    pub windows: Vec<Range<usize>>,
    /// Where the context begins in every window, in tokens.
    context_start: usize,
    /// Special tokens after the context.
    after: usize,
    /// Where `[CLS]` stands before the context.
    cls: Vec<usize>,
}

impl Windowed {
    /// Tokenizes and cuts. `max_len` is the longest sequence that the model takes (`max_position_embeddings`).
    ///
    /// # Errors
    /// [`Error::Input`] if either text is empty, or white space alone, or the question does not fit in a window;
    /// [`Error::Option`] if an option is out of range.
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

    /// The same with the lengths given, and the question cut at `max_question` tokens.
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

    /// The same of a question and a context that are tokenized, each beside its text.
    pub(super) fn of(
        tokenizer: &Tokenizer,
        [question, context]: [(&str, Encoding); 2],
        max_question: usize,
        lengths: &WindowOptions,
    ) -> Result<Self> {
        let mut question = some(question, "question")?;
        let context = some(context, "context")?;
        question.truncate(max_question);
        // The special tokens beyond BERT's three count as the question's.
        let beside = (question.len() + tokenizer.special_count(true)).saturating_sub(windows::SPECIAL);
        let mut windows = windows::cut(beside, context.len(), lengths)?;
        if tokenizer.cuts_left() {
            // Windows are then laid out from the end of the context.
            windows.iter_mut().for_each(|window| *window = context.len() - window.end..context.len() - window.start);
        }
        let context_start = tokenizer.second_start(question.len());
        let around = tokenizer.pair(&question.ids, &[]).ids;
        let cls = tokenizer.special().cls;
        let cls = (0..context_start).filter(|at| around.get(*at) == Some(&cls)).collect();
        Ok(Self { question, context, windows, context_start, after: around.len() - context_start, cls })
    }

    /// What the encoder reads, a sequence a window.
    pub fn sequences<'a>(&'a self, tokenizer: &'a Tokenizer) -> impl ExactSizeIterator<Item = Sequence> + 'a {
        self.windows.iter().map(|w| tokenizer.pair(&self.question.ids, &self.context.ids[w.clone()]))
    }

    /// The sequence of one window; nothing after the last.
    pub(super) fn sequence(&self, tokenizer: &Tokenizer, window: usize) -> Option<Sequence> {
        let tokens = self.windows.get(window)?.clone();
        Some(tokenizer.pair(&self.question.ids, &self.context.ids[tokens]))
    }

    /// Where the context begins in every window, in tokens.
    pub(crate) fn context_start(&self) -> usize {
        self.context_start
    }

    /// The length of a window with its special tokens.
    fn window_len(&self, window: &Range<usize>) -> usize {
        self.context_start + window.len() + self.after
    }

    /// # Panics
    /// If there is not one pair of logits a window, one number a token.
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

    /// The best answers, best first: at least one, at most `top_k`. `context` is the text this was made from.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range, [`Error::NotFinite`] if a logit is not finite.
    ///
    /// # Panics
    /// If there is not one pair of logits a window, one number a token.
    pub fn answers(&self, context: &str, logits: &[SpanLogits], options: &AnswerOptions) -> Result<Vec<Answer>> {
        options.check()?;
        self.check_logits(logits)?;
        // Widening to whole words makes some spans equal.
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
                let text = context.get(bytes.clone()).unwrap_or_default();
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
        // Stable: of equal scores the earlier window's better span is first.
        answers.sort_by(|a, b| b.score.total_cmp(&a.score));
        answers.truncate(options.top_k);
        Ok(answers)
    }

    /// What the model says about each token of the context, in order.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a logit is not finite.
    ///
    /// # Panics
    /// If there is not one pair of logits a window, one number a token.
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

    /// Tokens of all windows, with the question's and the special ones: what the encoder reads.
    pub fn tokens(&self) -> usize {
        self.windows.iter().map(|window| self.window_len(window)).sum()
    }

    /// Softmax over `[CLS]` and the context, the question masked as the pipeline does it.
    fn probabilities(&self, window: &Range<usize>, logits: &[f32]) -> Vec<f32> {
        let mut x = vec![-10_000.0; logits.len()];
        let context = self.context_start()..self.context_start() + window.len();
        x[context.clone()].copy_from_slice(&logits[context]);
        // The pipeline leaves every [CLS] unmasked, also one that the question spells out.
        for at in &self.cls {
            x[*at] = logits[*at];
        }
        softmax(&mut x);
        x
    }

    /// The bytes of the context from token `first` to token `last`, widened to whole words as far as this window
    /// holds them.
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

/// Tokens, if the text has any.
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

/// A span of a window's context, both ends included, in tokens.
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
