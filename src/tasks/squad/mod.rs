//! SQuAD 1.1 and 2.0: reads the file, chooses answers, and computes exact match and F1.
//!
//! The metrics are those of the official evaluation scripts. Answers are chosen as google-research/bert's `run_squad.py` chooses them, by sums of logits over
//! all windows. The question answering pipeline chooses differently.

mod decode;
mod file;
mod metrics;

use std::ops::Range;

pub use decode::{Candidate, Decoded};
pub use metrics::{Figures, Metrics, Metrics2, normalize};

use super::answer::Windowed;
use crate::error::clip;
use crate::text::Tokenizer;
use crate::text::windows::WindowOptions;
use crate::{Error, Result};

/// The largest file. SQuAD itself has 30 MB.
#[cfg(feature = "native")]
const MAX_BYTES: u64 = 1 << 30;

/// A data set, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Squad {
    /// The passages.
    pub contexts: Vec<String>,
    /// The questions of all passages.
    pub questions: Vec<Question>,
}

/// One question with its gold answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The id in the file, or `#N` if it has none. Some data sets repeat ids; each question still counts.
    pub id: String,
    /// The question itself.
    pub text: String,
    /// The index of its passage in [`Squad::contexts`].
    pub context: usize,
    /// The gold answers. Empty if the passage does not answer the question, as in SQuAD 2.0.
    pub answers: Vec<String>,
    /// The bytes of the first gold answer that is at its stated place in the context. Models are trained on it.
    pub place: Option<Range<usize>>,
}

impl Question {
    /// The error for a question whose text cannot be used, with the reason.
    pub(crate) fn refused(&self, error: &Error) -> Error {
        Error::Data {
            file: format!("question {:?}", clip(&self.id)),
            problem: if let Error::Input { problem, .. } = error { problem.clone() } else { error.to_string() },
            help: "Correct or remove it".into(),
        }
    }
}

impl Squad {
    /// Whether any question has no answer, as in SQuAD 2.0.
    pub fn has_unanswerable(&self) -> bool {
        self.questions.iter().any(|q| q.answers.is_empty())
    }

    /// Parses SQuAD JSON, 1.1 or 2.0, or rows of questions with their contexts: in a list, in `data`, or one on each
    /// line. `file` is the name for messages. A question without answers is unanswerable. An answer that is not where
    /// `answer_start` says still counts, by its text; then the question has no [`place`](Question::place).
    ///
    /// # Errors
    /// [`Error::Data`] if it is not such JSON, if a question has no text or no context, or if a question with an answer
    /// is marked `is_impossible`.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self> {
        file::Reading::all(file, json)
    }

    /// Reads and parses a file.
    ///
    /// # Errors
    /// [`Error::Io`], and those of [`parse`](Self::parse).
    #[cfg(feature = "native")]
    pub fn load(path: &std::path::Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
        let json = crate::files::read_at_most(file, path, MAX_BYTES)?;
        Self::parse(&path.display().to_string(), &json)
    }
}

/// The options of `eval squad`, for windows and for choosing answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquadOptions {
    /// The length and the overlap of windows, in tokens.
    pub lengths: WindowOptions,
    /// Longer questions are cut to this many tokens.
    pub max_question_tokens: usize,
    /// The longest answer, in tokens.
    pub max_answer_tokens: usize,
    /// The number of candidates to keep, and of starts and ends to try in each window.
    pub n_best: usize,
    /// Lets "there is no answer" compete, as SQuAD 2.0 requires.
    pub version_2: bool,
    /// The answer is empty if the score of `[CLS]` exceeds that of the best span by more than this.
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
    /// The default, with shorter windows if the model takes at most `max_len` tokens.
    ///
    /// # Errors
    /// [`Error::Option`] if the model is too small for any window.
    pub fn for_model(max_len: usize) -> Result<Self> {
        let lengths = WindowOptions::new(max_len, None, None)?;
        Ok(Self { lengths, ..Self::default() })
    }

    /// Tokenizes a question and its context, and cuts the context into windows.
    ///
    /// # Errors
    /// [`Error::Input`] if a text is empty, or nothing fits beside the question.
    pub fn windows(&self, tokenizer: &Tokenizer, question: &str, context: &str) -> Result<Windowed> {
        Windowed::with_lengths(tokenizer, question, context, self.max_question_tokens, &self.lengths)
    }
}
