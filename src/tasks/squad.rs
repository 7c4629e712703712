//! SQuAD 1.1: reading the file, choosing an answer, exact match and F1.
//!
//! The metrics are those of the official evaluation script, v1.1. Answers are chosen by the sum of start and end
//! logits over all windows, as is usual for that script, not as the question answering pipeline does it.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;

use super::answer::{SpanLogits, Windowed};
use crate::error::{clip, clip_message};
use crate::text::Tokenizer;
use crate::text::windows::WindowOptions;
use crate::{Error, Result};

/// SQuAD itself is 30 MB.
#[cfg(feature = "native")]
const MAX_BYTES: u64 = 1 << 30;

/// A data set, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Squad {
    /// The passages that questions are about.
    pub contexts: Vec<String>,
    /// The questions of all passages.
    pub questions: Vec<Question>,
}

/// One question with its gold answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// As the file has it: not every data set keeps them unique, and each question counts.
    pub id: String,
    /// The question itself.
    pub text: String,
    /// Which of [`Squad::contexts`] it is about.
    pub context: usize,
    /// The texts that count as right. At least one.
    pub answers: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Qa>,
}

#[derive(Deserialize)]
struct Qa {
    id: String,
    question: String,
    answers: Vec<Gold>,
}

#[derive(Deserialize)]
struct Gold {
    text: String,
    /// In code points.
    answer_start: usize,
}

impl Squad {
    /// Parses SQuAD 1.1 JSON. `file` is its name, for messages.
    ///
    /// # Errors
    /// [`Error::Data`] if it is not SQuAD JSON, a question has no answer (as in SQuAD 2.0), or an answer is not where
    /// `answer_start` says.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self> {
        let broken = |problem: String, mend: &str| Error::Data { file: file.into(), problem, mend: mend.into() };
        let parsed: File = serde_json::from_slice(json).map_err(|e| {
            broken(format!("it is not SQuAD 1.1 JSON: {}", clip_message(&e)), "Give a file in the form of SQuAD v1.1")
        })?;
        let mut squad = Squad::default();
        for article in parsed.data {
            for Paragraph { context, qas } in article.paragraphs {
                let starts: Vec<usize> = context.char_indices().map(|(byte, _)| byte).chain([context.len()]).collect();
                for Qa { id, question, answers } in qas {
                    let at = |problem: String, mend: &str| {
                        broken(format!("article {:?}, question {:?}: {problem}", clip(&article.title), clip(&id)), mend)
                    };
                    if answers.is_empty() {
                        let mend = "SQuAD 1.1 has an answer for every question: take this one out";
                        return Err(at("it has no answer".into(), mend));
                    }
                    for Gold { text, answer_start } in &answers {
                        let found = starts.get(*answer_start).and_then(|byte| context.get(*byte..));
                        if !found.is_some_and(|rest| rest.starts_with(text.as_str())) {
                            let problem =
                                format!("the context does not have the answer {:?} at {answer_start}", clip(text));
                            return Err(at(problem, "Correct answer_start, which counts code points"));
                        }
                    }
                    let answers = answers.into_iter().map(|a| a.text).collect();
                    squad.questions.push(Question { id, text: question, context: squad.contexts.len(), answers });
                }
                squad.contexts.push(context);
            }
        }
        if squad.questions.is_empty() {
            return Err(broken("it has no questions".into(), "Give a file with at least one question"));
        }
        Ok(squad)
    }

    /// Reads and parses a file.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`parse`](Self::parse).
    #[cfg(feature = "native")]
    pub fn load(path: &std::path::Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
        let json = crate::files::read_at_most(file, path, MAX_BYTES)?;
        Self::parse(&path.display().to_string(), &json)
    }
}

/// How `eval squad` cuts its text and chooses its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SquadOptions {
    /// Window length and overlap, in tokens.
    pub lengths: WindowOptions,
    /// The question is cut here, in tokens.
    pub max_question_tokens: usize,
    /// The longest answer, in tokens.
    pub max_answer_tokens: usize,
}

impl Default for SquadOptions {
    fn default() -> Self {
        let lengths = WindowOptions { max_seq_len: 384, doc_stride: 128 };
        Self { lengths, max_question_tokens: 64, max_answer_tokens: 30 }
    }
}

impl SquadOptions {
    /// The default, in shorter windows where the model takes no more than `max_len` tokens.
    ///
    /// # Errors
    /// [`Error::Option`] if the model is too small for any window.
    pub fn for_model(max_len: usize) -> Result<Self> {
        let lengths = WindowOptions::new(max_len, None, None)?;
        Ok(Self { lengths, ..Self::default() })
    }

    /// Tokenizes a question and its context and cuts them into windows.
    ///
    /// # Errors
    /// [`Error::Input`] if a text is empty or nothing fits beside the question.
    pub fn windows(&self, tokenizer: &Tokenizer, question: &str, context: &str) -> Result<Windowed> {
        Windowed::with_lengths(tokenizer, question, context, self.max_question_tokens, &self.lengths)
    }

    /// The bytes of the context with the highest sum of start and end logit over all windows; of equals, the first.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a logit is not finite.
    ///
    /// # Panics
    /// If there is not one pair of logits a window, one number a token.
    pub fn best(&self, windowed: &Windowed, logits: &[SpanLogits]) -> Result<Range<usize>> {
        windowed.check_logits(logits)?;
        let (mut best, mut bytes) = (f32::NEG_INFINITY, 0..0);
        for (window, SpanLogits { start, end }) in windowed.windows.iter().zip(logits) {
            let inner = windowed.context_start()..windowed.context_start() + window.len();
            let (start, end) = (&start[inner.clone()], &end[inner]);
            for (first, s) in start.iter().enumerate() {
                for (last, e) in end.iter().enumerate().skip(first).take(self.max_answer_tokens) {
                    if s + e > best {
                        best = s + e;
                        let offsets = &windowed.context.offsets[window.clone()];
                        bytes = offsets[first].start..offsets[last].end;
                    }
                }
            }
        }
        Ok(bytes)
    }
}

/// Exact match and F1 over many questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    exact: f64,
    f1: f64,
    total: usize,
}

impl Metrics {
    /// Counts one prediction against its gold answers: the best of them counts.
    pub fn add<S: AsRef<str>>(&mut self, prediction: &str, answers: &[S]) {
        let prediction = normalize(prediction);
        let golds = answers.iter().map(|a| normalize(a.as_ref()));
        let scores = golds.map(|gold| (f64::from(u8::from(gold == prediction)), f1(&prediction, &gold)));
        let (exact, f1) = scores.fold((0.0, 0.0), |(e, f): (f64, f64), (e1, f1)| (e.max(e1), f.max(f1)));
        self.exact += exact;
        self.f1 += f1;
        self.total += 1;
    }

    /// The share of predictions that equal a gold answer after normalisation, 0 to 100.
    pub fn exact_match(&self) -> f64 {
        self.percent(self.exact)
    }

    /// The mean overlap of tokens with the best gold answer, 0 to 100.
    pub fn f1(&self) -> f64 {
        self.percent(self.f1)
    }

    /// How many predictions were counted.
    pub fn total(&self) -> usize {
        self.total
    }

    fn percent(&self, sum: f64) -> f64 {
        if self.total == 0 { 0.0 } else { 100.0 * sum / self.total as f64 }
    }
}

/// Lower case, without ASCII punctuation, without the words a, an and the, single spaces.
pub fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    // An article is one where \b of Python's re would stand on both sides, so it need not have spaces around it.
    let mut out = String::with_capacity(kept.len());
    for run in kept.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let word = run.trim_end_matches(|c: char| !c.is_alphanumeric());
        if matches!(word, "a" | "an" | "the") {
            out.push(' ');
            out.push_str(&run[word.len()..]);
        } else {
            out.push_str(run);
        }
    }
    out.split(is_space).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What Python's `str.split` splits at.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The harmonic mean of precision and recall over the words of two normalised texts, repeated words counted.
fn f1(prediction: &str, gold: &str) -> f64 {
    // Normalisation leaves single spaces only; an empty text has no words.
    let words = |text| str::split(text, ' ').filter(|w| !w.is_empty());
    let mut counts: HashMap<&str, usize> = HashMap::new();
    words(gold).for_each(|w| *counts.entry(w).or_default() += 1);
    let same =
        words(prediction).filter(|w| counts.get_mut(w).is_some_and(|n| n.checked_sub(1).map(|m| *n = m).is_some()));
    let same = same.count() as f64;
    if same == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (same / words(prediction).count() as f64, same / words(gold).count() as f64);
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_as_the_official_script() {
        for (text, want) in [
            ("The  Cat's hat!", "cats hat"),
            ("a-b an\u{a0}the\tTHE thesis", "ab thesis"),
            ("“a” – the…", "“ ” – …"),
            ("A", ""),
            ("the_a x", "thea x"),
            ("ΟΔΟΣ", "οδος"),
            ("a\u{301} b", "\u{301} b"),
            ("x\u{1c}y", "x y"),
        ] {
            assert_eq!(normalize(text), want, "{text:?}");
        }
    }

    #[test]
    fn f1_counts_repeated_words() {
        assert_eq!(f1("b b c", "b c c"), 2.0 / 3.0);
        assert_eq!(f1("b", "c"), 0.0);
        assert_eq!(f1("", ""), 0.0);
        let mut metrics = Metrics::default();
        metrics.add("the cat", &["dog", "Cat!"]);
        metrics.add("black cat", &["cat"]);
        metrics.add("a", &["an"]);
        assert_eq!(metrics.total(), 3);
        assert_eq!(metrics.exact_match(), 100.0 * 2.0 / 3.0);
        assert!((metrics.f1() - 100.0 * (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    }
}
