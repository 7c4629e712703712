//! Chooses answers by logits, as `run_squad.py` of google-research/bert does.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;

use super::SquadOptions;
use crate::Result;
use crate::tasks::answer::{SpanLogits, Windowed};

/// A possible answer: an entry of `nbest_predictions.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The text. It is empty for "there is no answer", and "empty" if there is no other candidate.
    pub text: String,
    /// The probability among the candidates of the question.
    pub probability: f64,
    /// The start logit of its first token.
    pub start_logit: f32,
    /// The end logit of its last token.
    pub end_logit: f32,
    /// Its bytes in the context.
    #[serde(skip)]
    pub bytes: Range<usize>,
}

/// The decoded answer to a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The answer; empty if there is none.
    pub text: String,
    /// The score of "there is no answer" minus that of the best answer. Only for version 2.
    pub null_odds: Option<f64>,
    /// The best candidates, best first; at least one.
    pub nbest: Vec<Candidate>,
}

impl Candidate {
    fn new(text: &str, bytes: Range<usize>, start_logit: f32, end_logit: f32) -> Self {
        Self { text: text.into(), probability: 0.0, start_logit, end_logit, bytes }
    }

    fn score(&self) -> f64 {
        f64::from(self.start_logit) + f64::from(self.end_logit)
    }
}

/// A span of the context's tokens, with both ends, or [CLS].
struct Span {
    tokens: Option<(usize, usize)>,
    start: f32,
    end: f32,
}

impl Span {
    fn score(&self) -> f64 {
        f64::from(self.start) + f64::from(self.end)
    }
}

impl SquadOptions {
    /// The best candidates by the sum of their start and end logits. A span counts only in the window that has the most
    /// context around its start. Of two equal scores the first comes first, and of equal texts only the first is kept.
    /// `context` must be the text from which `windowed` was made.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if a logit is infinite or NaN.
    ///
    /// # Panics
    /// If `logits` does not have one entry for each window, with one number for each token.
    pub fn decode(&self, windowed: &Windowed, context: &str, logits: &[SpanLogits]) -> Result<Decoded> {
        windowed.check_logits(logits)?;
        let mut spans = Vec::new();
        let mut null = Span { tokens: None, start: f32::INFINITY, end: f32::INFINITY };
        for (at, (window, SpanLogits { start, end })) in windowed.windows.iter().zip(logits).enumerate() {
            let here = Span { tokens: None, start: start[0], end: end[0] };
            if here.score() < null.score() {
                null = here;
            }
            let before = windowed.context_start();
            let token = |i: usize| Some(window.start + i.checked_sub(before)?).filter(|t| *t < window.end);
            let ends = best_indices(end, self.n_best);
            for s in best_indices(start, self.n_best) {
                let Some(first) = token(s).filter(|t| has_most_context(&windowed.windows, at, *t)) else { continue };
                for &e in &ends {
                    let Some(last) = token(e).filter(|t| *t >= first) else { continue };
                    if last - first < self.max_answer_tokens {
                        spans.push(Span { tokens: Some((first, last)), start: start[s], end: end[e] });
                    }
                }
            }
        }
        let (null_start, null_end, null_score) = (null.start, null.end, null.score());
        if self.version_2 {
            spans.push(null);
        }
        spans.sort_by(|a, b| b.score().partial_cmp(&a.score()).unwrap_or(Ordering::Equal));

        let mut seen = HashSet::new();
        let mut nbest: Vec<Candidate> = Vec::new();
        for span in spans {
            if nbest.len() >= self.n_best {
                break;
            }
            let bytes = span.tokens.map_or(0..0, |(first, last)| {
                windowed.context.offsets[first].start..windowed.context.offsets[last].end
            });
            let text = context.get(bytes.clone()).expect("offsets are places in the context");
            if seen.insert(text) {
                nbest.push(Candidate::new(text, bytes, span.start, span.end));
            }
        }
        if self.version_2 && !seen.contains("") {
            nbest.push(Candidate::new("", 0..0, null_start, null_end));
        }
        if nbest.iter().all(|c| c.text.is_empty()) {
            nbest.insert(0, Candidate::new("empty", 0..0, 0.0, 0.0));
        }
        let most = nbest.iter().map(Candidate::score).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = nbest.iter().map(|c| (c.score() - most).exp()).sum();
        nbest.iter_mut().for_each(|c| c.probability = (c.score() - most).exp() / sum);

        let best = nbest.iter().find(|c| !c.text.is_empty());
        let odds = best.map(|c| null_score - f64::from(c.start_logit) - f64::from(c.end_logit));
        let null_odds = odds.filter(|_| self.version_2);
        let refused = null_odds.is_some_and(|odds| odds > self.null_score_diff_threshold);
        let text = best.filter(|_| !refused).map_or(String::new(), |c| c.text.clone());
        Ok(Decoded { text, null_odds, nbest })
    }
}

/// The positions of the `n` greatest numbers, greatest first; of equal ones, the first.
fn best_indices(logits: &[f32], n: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..logits.len()).collect();
    all.sort_by(|a, b| logits[*b].partial_cmp(&logits[*a]).unwrap_or(Ordering::Equal));
    all.truncate(n);
    all
}

/// Whether window `at` has the most context on both sides of `token`; of equal windows, the first.
fn has_most_context(windows: &[Range<usize>], at: usize, token: usize) -> bool {
    let around = |w: &Range<usize>| {
        // A hundredth of the window's length decides between equal windows.
        let least = (token - w.start).min(w.end - 1 - token);
        100 * least + w.len()
    };
    let own = around(&windows[at]);
    let mut others = windows.iter().enumerate().filter(|(i, w)| *i != at && w.contains(&token));
    others.all(|(i, w)| if i < at { around(w) < own } else { around(w) <= own })
}
