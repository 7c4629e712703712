//! Dividing a context that does not fit the model into overlapping windows.
//!
//! The arithmetic is that of Hugging Face tokenizers with `truncation="only_second"` and `stride`, which the question
//! answering pipeline of transformers 4.57 uses: a window is `[CLS] question [SEP] part of the context [SEP]`, the
//! question is in every window, and `doc_stride` is how many context tokens two neighbours share. Windows are never
//! padded.

use std::ops::Range;

use crate::{Error, Result};

/// `[CLS]`, `[SEP]` and `[SEP]`.
pub(crate) const SPECIAL: usize = 3;

/// How long windows are and how much they overlap, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowOptions {
    /// Tokens of a whole window.
    pub max_seq_len: usize,
    /// Context tokens that neighbouring windows share.
    pub doc_stride: usize,
}

impl WindowOptions {
    /// The pipeline's defaults for a model that takes at most `max_len` tokens: windows of `min(384, max_len)` that
    /// overlap by `min(128, max_seq_len / 2)`. A value that is given is taken as it is.
    ///
    /// # Errors
    /// [`Error::Option`] if a given length is more than the model takes, or the overlap no less than the window.
    pub fn new(max_len: usize, max_seq_len: Option<usize>, doc_stride: Option<usize>) -> Result<Self> {
        let length = max_seq_len.unwrap_or(max_len.min(384));
        if length > max_len {
            return Err(Error::Option {
                name: "max-seq-len",
                problem: format!("a window of {length} tokens is longer than the model's {max_len}"),
                mend: format!("Give at most {max_len}"),
            });
        }
        if length <= SPECIAL {
            return Err(Error::Option {
                name: "max-seq-len",
                problem: format!("a window of {length} tokens has no room beside its {SPECIAL} special tokens"),
                mend: "Give more; 384 is usual".into(),
            });
        }
        let stride = doc_stride.unwrap_or(128.min(length / 2));
        if stride >= length {
            return Err(Error::Option {
                name: "doc-stride",
                problem: format!("windows of {length} tokens cannot overlap by {stride}"),
                mend: "The overlap must be smaller than the window: lower doc-stride or raise max-seq-len".into(),
            });
        }
        Ok(Self { max_seq_len: length, doc_stride: stride })
    }
}

/// The windows over a context of `context` tokens beside a question of `question` tokens, as ranges of context tokens.
///
/// There is at least one; together they cover the context, and all but the last are equally long.
///
/// # Errors
/// [`Error::Input`] if the question leaves no room for any context, [`Error::Option`] if the context has to be cut and
/// the overlap is no less than the room that the question leaves.
pub fn cut(question: usize, context: usize, options: &WindowOptions) -> Result<Vec<Range<usize>>> {
    let WindowOptions { max_seq_len, doc_stride } = *options;
    let room = max_seq_len.saturating_sub(question.saturating_add(SPECIAL));
    if context <= room {
        return Ok(std::iter::once(0..context).collect());
    }
    if room == 0 {
        return Err(Error::Input {
            problem: format!("the question's {question} tokens leave no room for the context in {max_seq_len}"),
            mend: "Shorten the question or raise max-seq-len".into(),
        });
    }
    if doc_stride >= room {
        return Err(Error::Option {
            name: "doc-stride",
            problem: format!(
                "the question leaves room for {room} context tokens, which cannot overlap by {doc_stride}"
            ),
            mend: "Lower doc-stride, shorten the question or raise max-seq-len".into(),
        });
    }
    let step = room - doc_stride;
    let count = (context - room).div_ceil(step) + 1;
    Ok((0..count).map(|i| i * step..(i * step + room).min(context)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(max_seq_len: usize, doc_stride: usize) -> WindowOptions {
        WindowOptions { max_seq_len, doc_stride }
    }

    #[test]
    fn defaults_follow_the_model() {
        assert_eq!(WindowOptions::new(512, None, None).unwrap(), options(384, 128));
        assert_eq!(WindowOptions::new(130, None, None).unwrap(), options(130, 65));
        assert_eq!(WindowOptions::new(512, Some(100), None).unwrap(), options(100, 50));
        assert_eq!(WindowOptions::new(512, Some(512), Some(0)).unwrap(), options(512, 0));
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
        // The overlap is of no account where nothing is cut.
        assert_eq!(cut(4, 10, &options(17, 10)).unwrap().len(), 1);
    }
}
