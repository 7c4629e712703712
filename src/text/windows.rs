//! Splits a context that is too long for the model into overlapping windows.
//!
//! The arithmetic is that of Hugging Face tokenizers with `truncation="only_second"` and `stride`, which the question answering pipeline of
//! transformers 4.57 uses. A window is `[CLS] question [SEP] part of the context [SEP]`. Every window contains the question. `doc_stride` is the number of
//! context tokens that two neighbours share. Windows are never padded.
//!
//! Unlike the pipeline, the time is bounded. There a question of 250 tokens leaves room for 131 context tokens. Neighbours share 128 of them, so each window
//! has only 3 new ones, and the context is read 128 times. Here the default overlap leaves at least an eighth of a window for new tokens, or half
//! the room if the question leaves little. This changes no window for questions of up to 205 tokens in windows of 384. A context that would still need many
//! windows with few new tokens each is refused.

use std::ops::Range;

use super::{Encoding, Tokenizer};
use crate::error::{Error, OptionName, Result, help};

/// The tokens `[CLS]`, `[SEP]` and `[SEP]`.
pub(crate) const SPECIAL: usize = 3;

/// At least this fraction of a window's tokens must be new, unless there are few windows.
const NEW_SHARE: usize = 8;

/// Up to this many windows may have fewer new tokens.
const FEW_WINDOWS: usize = 256;

/// The length of windows and their overlap, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowOptions {
    /// The number of tokens in a whole window.
    pub max_seq_len: usize,
    /// The number of context tokens that neighbouring windows share. The default is `min(128, max_seq_len / 2)`, or less beside a long question. A given
    /// value is used unchanged.
    pub doc_stride: Option<usize>,
}

const MAX_SEQ_LEN: OptionName = OptionName("max_seq_len");
const DOC_STRIDE: OptionName = OptionName("doc_stride");

impl WindowOptions {
    /// The pipeline's defaults for a model that reads at most `max_len` tokens: windows of `min(384, max_len)`. Given values are used unchanged.
    ///
    /// # Errors
    /// [`Error::Option`] if a given length is larger than the model allows, or the overlap is not smaller than the window.
    pub fn new(max_len: usize, max_seq_len: Option<usize>, doc_stride: Option<usize>) -> Result<Self> {
        let length = max_seq_len.unwrap_or(max_len.min(384));
        if length > max_len {
            return Err(Error::Option {
                name: "max_seq_len",
                problem: format!("a window of {length} tokens is longer than the model's {max_len}"),
                help: format!("Give at most {max_len}").into(),
            });
        }
        if length <= SPECIAL {
            return Err(Error::Option {
                name: "max_seq_len",
                problem: format!("a window of {length} tokens has no room beside its {SPECIAL} special tokens"),
                help: "Give more; 384 is usual".into(),
            });
        }
        if let Some(stride) = doc_stride.filter(|stride| *stride >= length) {
            return Err(Error::Option {
                name: "doc_stride",
                problem: format!("windows of {length} tokens cannot overlap by {stride}"),
                help: help!(
                    "The overlap must be smaller than the window: lower ",
                    DOC_STRIDE,
                    " or raise ",
                    MAX_SEQ_LEN
                ),
            });
        }
        Ok(Self { max_seq_len: length, doc_stride })
    }

    /// Encodes a question. Stops reading as soon as it leaves no room for the context.
    ///
    /// # Errors
    /// [`Error::Input`] if it leaves no room. Otherwise as [`Tokenizer::encode`].
    pub(crate) fn encode_question(&self, tokenizer: &Tokenizer, question: &str) -> Result<Encoding> {
        tokenizer.encode_short(question, self.max_seq_len)?.ok_or_else(|| self.question_is_too_long())
    }

    fn question_is_too_long(&self) -> Error {
        Error::Input {
            problem: format!("the question's tokens leave no room for the context in {}", self.max_seq_len),
            help: help!("Shorten the question or raise ", MAX_SEQ_LEN),
        }
    }

    /// The overlap of windows that have room for this many context tokens.
    fn stride(&self, room: usize) -> usize {
        let most = room.saturating_sub(self.max_seq_len / NEW_SHARE).max(room / 2);
        self.doc_stride.unwrap_or(128.min(self.max_seq_len / 2).min(most))
    }
}

/// The windows over a context of `context` tokens, beside a question of `question` tokens, as ranges of context tokens.
///
/// There is at least one window. Together they cover the context. All but the last have the same length.
///
/// # Errors
/// [`Error::Input`] if the question leaves no room for any context, or so little room that a long context would take too long;
/// [`Error::Option`] if the given overlap has the same effect.
pub fn cut(question: usize, context: usize, options: &WindowOptions) -> Result<Vec<Range<usize>>> {
    let max_seq_len = options.max_seq_len;
    let room = max_seq_len.saturating_sub(question.saturating_add(SPECIAL));
    if context <= room {
        return Ok(std::iter::once(0..context).collect());
    }
    if room == 0 {
        return Err(options.question_is_too_long());
    }
    let doc_stride = options.stride(room);
    if doc_stride >= room {
        return Err(Error::Option {
            name: "doc_stride",
            problem: format!(
                "the question leaves room for {room} context tokens, which cannot overlap by {doc_stride}"
            ),
            help: help!("Lower ", DOC_STRIDE, ", shorten the question or raise ", MAX_SEQ_LEN),
        });
    }
    let step = room - doc_stride;
    let count = (context - room).div_ceil(step) + 1;
    if count > FEW_WINDOWS && step < max_seq_len / NEW_SHARE {
        let problem = format!("the context would be cut into {count} windows with {step} new tokens each");
        return Err(match options.doc_stride {
            Some(_) => Error::Option {
                name: "doc_stride",
                problem: format!("{problem}; windows over {FEW_WINDOWS} need {}", max_seq_len / NEW_SHARE),
                help: help!("Lower ", DOC_STRIDE, ", shorten the question or the context, or raise ", MAX_SEQ_LEN),
            },
            None => Error::Input {
                problem: format!("beside a question of {question} tokens {problem}"),
                help: help!("Shorten the question or the context, or raise ", MAX_SEQ_LEN),
            },
        });
    }
    Ok((0..count).map(|i| i * step..(i * step + room).min(context)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(max_seq_len: usize, doc_stride: usize) -> WindowOptions {
        WindowOptions { max_seq_len, doc_stride: Some(doc_stride) }
    }

    fn by_default(max_seq_len: usize) -> WindowOptions {
        WindowOptions { max_seq_len, doc_stride: None }
    }

    #[test]
    fn defaults_follow_the_model() {
        assert_eq!(WindowOptions::new(512, None, None).unwrap(), by_default(384));
        assert_eq!(WindowOptions::new(130, None, None).unwrap(), by_default(130));
        assert_eq!(WindowOptions::new(512, Some(100), None).unwrap(), by_default(100));
        assert_eq!(WindowOptions::new(512, Some(512), Some(0)).unwrap(), options(512, 0));
    }

    /// The pipeline's overlap, `min(max_seq_len / 2, 128)`, beside any question that is not almost as long as the
    /// window.
    #[test]
    fn the_overlap_is_the_pipelines_beside_usual_questions() {
        for (length, longest, stride) in [(384, 205, 128), (512, 317, 128), (256, 93, 128), (128, 45, 64), (64, 21, 32)]
        {
            for question in [1, longest / 2, longest] {
                let (usual, same) = (by_default(length), options(length, stride));
                assert_eq!(
                    cut(question, 5000, &usual).unwrap(),
                    cut(question, 5000, &same).unwrap(),
                    "{length} {question}"
                );
            }
            let longer = cut(longest + 1, 5000, &by_default(length)).unwrap();
            assert!(longer[0].end - longer[1].start < stride, "{length}");
        }
    }

    /// For any length of the question, the windows have a small multiple of the context's tokens, or the question is
    /// refused.
    #[test]
    fn the_work_is_linear_in_the_context() {
        for length in [9, 16, 64, 384, 512] {
            for question in 1..length {
                for context in [100, 5_000, 1_000_000] {
                    for options in [by_default(length), options(length, length / 3), options(length, 0)] {
                        let Ok(windows) = cut(question, context, &options) else { continue };
                        let most = FEW_WINDOWS.max(1 + context.div_ceil((length / NEW_SHARE).max(1)));
                        assert!(windows.len() <= most, "{question} {context} {options:?}: {}", windows.len());
                        assert_eq!((windows[0].start, windows[windows.len() - 1].end), (0, context));
                        assert!(windows.windows(2).all(|w| w[0].start < w[1].start && w[1].start <= w[0].end));
                    }
                }
            }
        }
        // Beside a question that leaves little room, a normal context is read, but not a whole book.
        assert!(cut(370, 1_000, &by_default(384)).is_ok());
        assert_eq!(cut(370, 1_000_000, &by_default(384)).unwrap_err().code(), "input");
        assert!(cut(5, 1_000_000, &by_default(384)).is_ok());
        assert_eq!(cut(5, 1_000_000, &options(384, 370)).unwrap_err().code(), "option");
        assert!(cut(5, 1_000, &options(384, 370)).is_ok(), "what is asked for is done while it is little");
    }

    #[test]
    fn cuts_as_the_overlap_says() {
        let whole = 0..10;
        assert_eq!(cut(4, 10, &options(17, 5)).unwrap(), [whole]);
        assert_eq!(cut(4, 11, &options(17, 5)).unwrap(), [0..10, 5..11]);
        assert_eq!(cut(4, 15, &options(17, 5)).unwrap(), [0..10, 5..15]);
        assert_eq!(cut(4, 16, &options(17, 5)).unwrap(), [0..10, 5..15, 10..16]);
        assert_eq!(cut(4, 25, &options(17, 0)).unwrap(), [0..10, 10..20, 20..25]);
        assert_eq!(cut(4, 12, &options(17, 9)).unwrap(), [0..10, 1..11, 2..12]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let code = |r: Result<_>| r.map(|_: ()| ()).unwrap_err().code();
        assert_eq!(code(WindowOptions::new(512, Some(513), None).map(drop)), "option");
        assert_eq!(code(WindowOptions::new(512, Some(3), None).map(drop)), "option");
        assert_eq!(code(WindowOptions::new(512, Some(64), Some(64)).map(drop)), "option");
        assert_eq!(code(cut(14, 1, &options(17, 0)).map(drop)), "input");
        assert_eq!(code(cut(usize::MAX, 1, &options(17, 0)).map(drop)), "input");
        assert_eq!(code(cut(4, 11, &options(17, 10)).map(drop)), "option");
        // The overlap does not matter if nothing is cut.
        assert_eq!(cut(4, 10, &options(17, 10)).unwrap().len(), 1);
    }
}
