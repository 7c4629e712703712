//! A model with its tokenizer on a device: the base of every task.

use std::sync::Arc;

use crate::checkpoint::{Checkpoint, Head};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::{Encoder, Sequence, Tokenizer};

/// A model with one head, and the tokenizer that belongs to it.
#[derive(Debug)]
pub struct TextModel {
    tokenizer: Tokenizer,
    model: Model,
}

/// A text or a pair of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextPair {
    /// The text, or the first text of a pair.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
}

impl From<&str> for TextPair {
    fn from(text: &str) -> Self {
        Self { text: text.into(), pair: None }
    }
}

impl From<(&str, &str)> for TextPair {
    fn from((text, pair): (&str, &str)) -> Self {
        Self { text: text.into(), pair: Some(pair.into()) }
    }
}

impl TextModel {
    /// A model with this head from a checkpoint, with its tokenizer. Both may come from any source.
    ///
    /// # Errors
    /// Those of [`Model::load`]: another head, or a model that the device cannot hold.
    pub fn new(
        checkpoint: Checkpoint,
        tokenizer: Tokenizer,
        head: Head,
        device: impl Into<Arc<Device>>,
    ) -> Result<Self> {
        const CLASSIFIERS: [Head; 3] = [Head::SequenceClassification, Head::TokenClassification, Head::MultipleChoice];
        // The tensors of these heads have the same names.
        if CLASSIFIERS.contains(&head) {
            let named = checkpoint.head();
            if named != head && CLASSIFIERS.contains(&named) {
                tracing::warn!(
                    "the model was saved as {}, and is read as {}",
                    named.architecture(),
                    head.architecture()
                );
            }
        }
        Ok(Self::of(Model::load(checkpoint, head, device)?, tokenizer))
    }

    /// Combines a loaded model with its tokenizer.
    pub fn of(model: Model, tokenizer: Tokenizer) -> Self {
        Self { tokenizer, model }
    }

    /// Changes every text to lower case first, as `do_lower_case` of sentence-transformers asks; see [`Tokenizer::lowercased`].
    pub(super) fn lowercased(self) -> Self {
        Self { tokenizer: self.tokenizer.lowercased(), ..self }
    }

    /// Opens a Hugging Face directory.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], [`Tokenizer::load`] and [`Model::load`].
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path, head: Head, device: impl Into<Arc<Device>>) -> Result<Self> {
        let checkpoint = Checkpoint::open(dir)?;
        let beside = Checkpoint::place_of(&crate::checkpoint::TOKENIZERS, dir)?;
        let tokenizer = Tokenizer::load(&beside, checkpoint.config().vocab_size)?;
        Self::new(checkpoint, tokenizer, head, device)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The longest sequence, in tokens, with the special tokens.
    pub fn max_len(&self) -> usize {
        self.tokenizer.max_len(self.model.config().max_position_embeddings)
    }

    /// Calls [`sequence`] with its own tokenizer.
    pub(super) fn sequence(&self, input: &TextPair, most: usize) -> Result<Sequence> {
        sequence(&self.tokenizer, input, most)
    }
}

/// `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]`, cut to at most `most` tokens. The longer text is cut first, as
/// by `truncation=True` in `transformers`.
///
/// # Errors
/// [`Error::Input`] if `most` leaves no room for the special tokens.
pub fn sequence(tokenizer: &Tokenizer, input: &TextPair, most: usize) -> Result<Sequence> {
    // transformers treats an empty second text as none.
    let Some(pair) = input.pair.as_ref().filter(|pair| !pair.is_empty()) else {
        return Ok(
            tokenizer.single(&tokenizer.encode_first(&input.text, room(most, tokenizer.special_count(false))?)?.ids)
        );
    };
    let room = room(most, tokenizer.special_count(true))?;
    let (mut a, mut b) = (Side::new(tokenizer, &input.text, room)?, Side::new(tokenizer, pair, room)?);
    let (first, second) = a.fit(&mut b, room)?;
    Ok(tokenizer.pair(a.some(first), b.some(second)))
}

/// The tokens that are left for texts beside `special` special tokens.
pub(crate) fn room(most: usize, special: usize) -> Result<usize> {
    most.checked_sub(special).ok_or_else(|| Error::Input {
        problem: format!("a sequence of at most {most} tokens has no room for text"),
        help: "Use a model that takes longer sequences".into(),
    })
}

/// A text that is paired with other texts, one at a time. It has its tokens, as far as any pair can hold them.
pub(super) struct Side<'a> {
    tokenizer: &'a Tokenizer,
    encoder: Encoder<'a>,
    has_more: bool,
}

impl<'a> Side<'a> {
    /// `room` is the number of tokens in a pair without its special tokens.
    pub fn new(tokenizer: &'a Tokenizer, text: &'a str, room: usize) -> Result<Self> {
        let mut side = Self { tokenizer, encoder: tokenizer.encoder(text).keeping(room), has_more: true };
        // One token more than fits shows that the text is longer.
        while side.has_more && (tokenizer.cuts_left() || side.encoder.count() <= room) {
            side.step()?;
        }
        Ok(side)
    }

    fn step(&mut self) -> Result<()> {
        self.has_more = self.encoder.step()?;
        Ok(())
    }

    /// The first `count` tokens, or the last ones if the tokenizer cuts texts at their beginning.
    pub fn some(&self, count: usize) -> &[u32] {
        let ids = self.encoder.ids();
        let count = count.min(ids.len());
        if self.tokenizer.cuts_left() { &ids[ids.len() - count..] } else { &ids[..count] }
    }

    /// The numbers of tokens of this text and of `other` in a pair with this much room.
    pub fn fit(&mut self, other: &mut Side<'_>, room: usize) -> Result<(usize, usize)> {
        // Of two long texts, the longer one gets the odd token. They are read only as far as needed to find it.
        loop {
            let (a, b) = (self.encoder.count(), other.encoder.count());
            let is_known = !self.has_more && b >= a || !other.has_more && a > b;
            if a <= room || b <= room || is_known {
                return Ok(longest_first(a, b, room));
            }
            if self.has_more && (a <= b || !other.has_more) { self.step()? } else { other.step()? }
        }
    }
}

/// The numbers of tokens to keep of two texts of these lengths. The longer one is cut until both are equally long, then
/// both are cut until they fit.
fn longest_first(a: usize, b: usize, room: usize) -> (usize, usize) {
    if a + b <= room {
        return (a, b);
    }
    // If both are too long, the longer one gets the odd token.
    let short = a.min(b).min(room / 2);
    if a <= b { (short, room - short) } else { (room - short, short) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_is_cut_first() {
        for (a, b, room, expected) in [
            (3, 4, 7, (3, 4)),
            (3, 9, 7, (3, 4)),
            (9, 3, 7, (4, 3)),
            (9, 8, 7, (4, 3)),
            (8, 9, 7, (3, 4)),
            (5, 5, 0, (0, 0)),
        ] {
            assert_eq!(longest_first(a, b, room), expected, "{a} {b} in {room}");
        }
    }
}
