//! SQuAD 1.1 and 2.0: reading the file, choosing an answer, exact match and F1.
//!
//! The metrics are those of the official evaluation scripts. Answers are chosen as google-research/bert's `run_squad.py`
//! does, by sums of logits over all windows, not as the question answering pipeline does it.

mod decode;
mod metrics;

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

pub use decode::{Candidate, Decoded};
pub use metrics::{Figures, Metrics, Metrics2, normalize};

use super::answer::Windowed;
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
    /// The texts that count as right. None where the passage does not answer the question, as SQuAD 2.0 has it.
    pub answers: Vec<String>,
    /// Where in the context the first of them is, in bytes: what a model is trained on.
    pub place: Option<Range<usize>>,
}

impl Question {
    /// The error for a question whose text cannot be worked on, and why.
    pub(crate) fn refused(&self, error: &Error) -> Error {
        Error::Data {
            file: format!("question {:?}", clip(&self.id)),
            problem: if let Error::Input { problem, .. } = error { problem.clone() } else { error.to_string() },
            mend: "Mend or remove it".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object with data")]
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
    #[serde(default)]
    answers: Vec<Gold>,
    /// SQuAD 2.0's; any value, so that a wrong one is an error that names the question.
    #[serde(default)]
    is_impossible: Option<Value>,
}

#[derive(Deserialize)]
struct Gold {
    text: String,
    /// In code points.
    answer_start: usize,
}

impl Squad {
    /// Whether a question has no answer, so that it is SQuAD 2.0.
    pub fn has_unanswerable(&self) -> bool {
        self.questions.iter().any(|q| q.answers.is_empty())
    }

    /// Parses SQuAD JSON, 1.1 or 2.0. `file` is its name, for messages.
    ///
    /// # Errors
    /// [`Error::Data`] if it is not SQuAD JSON, a question without an answer is not marked `is_impossible` or one
    /// with an answer is, or an answer is not where `answer_start` says.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self> {
        let broken = |problem: String, mend: &str| Error::Data { file: file.into(), problem, mend: mend.into() };
        let parsed: File = serde_json::from_slice(json).map_err(|e| {
            broken(
                format!("it is not SQuAD JSON: {}", clip_message(&e)),
                "Give a file in the form of SQuAD v1.1 or v2.0",
            )
        })?;
        let mut squad = Squad::default();
        for article in parsed.data {
            for Paragraph { context, qas } in article.paragraphs {
                let starts: Vec<usize> = context.char_indices().map(|(byte, _)| byte).chain([context.len()]).collect();
                for Qa { id, question, answers, is_impossible } in qas {
                    let at = |problem: String, mend: &str| {
                        broken(format!("article {:?}, question {:?}: {problem}", clip(&article.title), clip(&id)), mend)
                    };
                    let impossible = match is_impossible {
                        None => false,
                        Some(Value::Bool(impossible)) => impossible,
                        Some(other) => {
                            let problem = format!("is_impossible is {}", clip(&other.to_string()));
                            return Err(at(problem, "Make it true or false"));
                        }
                    };
                    match (answers.is_empty(), impossible) {
                        (true, false) => {
                            let mend = "Take it out, or mark it with \"is_impossible\": true, as SQuAD 2.0 does";
                            return Err(at("it has no answer".into(), mend));
                        }
                        (false, true) => {
                            let mend = "Leave its answers empty, or make is_impossible false";
                            return Err(at("it is marked is_impossible and has an answer".into(), mend));
                        }
                        _ => {}
                    }
                    let mut place = None;
                    for Gold { text, answer_start } in &answers {
                        if text.is_empty() {
                            return Err(at("its answer is empty".into(), "Give the text, or take the answer out"));
                        }
                        let found = starts.get(*answer_start).and_then(|byte| Some((*byte, context.get(*byte..)?)));
                        if let Some((first, _)) = found.filter(|(_, rest)| rest.starts_with(text.as_str())) {
                            place.get_or_insert(first..first + text.len());
                        } else {
                            let problem =
                                format!("the context does not have the answer {:?} at {answer_start}", clip(text));
                            return Err(at(problem, "Correct answer_start, which counts code points"));
                        }
                    }
                    let answers = answers.into_iter().map(|a| a.text).collect();
                    let context = squad.contexts.len();
                    squad.questions.push(Question { id, text: question, context, answers, place });
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquadOptions {
    /// Window length and overlap, in tokens.
    pub lengths: WindowOptions,
    /// The question is cut here, in tokens.
    pub max_question_tokens: usize,
    /// The longest answer, in tokens.
    pub max_answer_tokens: usize,
    /// How many candidates are kept, and how many starts and ends of each window are looked at.
    pub n_best: usize,
    /// Let "there is no answer" compete, as SQuAD 2.0 asks.
    pub version_2: bool,
    /// There is no answer where `[CLS]` scores higher than the best span by more than this.
    pub null_score_diff_threshold: f64,
}

impl Default for SquadOptions {
    fn default() -> Self {
        let lengths = WindowOptions { max_seq_len: 384, doc_stride: None };
        Self {
            lengths,
            max_question_tokens: 64,
            max_answer_tokens: 30,
            n_best: 20,
            version_2: false,
            null_score_diff_threshold: 0.0,
        }
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
}
