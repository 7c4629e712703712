//! A model with its tokenizer on a device: what every task stands on.

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

/// A text, and the one that stands beside it.
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
    /// A checkpoint with this head and its tokenizer, wherever they came from.
    ///
    /// # Errors
    /// What [`Model::load`] refuses: another head, a device that cannot take it.
    pub fn new(
        checkpoint: Checkpoint,
        tokenizer: Tokenizer,
        head: Head,
        device: impl Into<Arc<Device>>,
    ) -> Result<Self> {
        const CLASSIFIERS: [Head; 3] = [Head::SequenceClassification, Head::TokenClassification, Head::MultipleChoice];
        // Their tensors have the same names.
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

    /// A model that was loaded, and the tokenizer that belongs to it.
    pub fn of(model: Model, tokenizer: Tokenizer) -> Self {
        Self { tokenizer, model }
    }

    /// Opens a Hugging Face directory.
    ///
    /// # Errors
    /// What [`Checkpoint::open`], [`Tokenizer::load`] and [`Model::load`] refuse.
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

    /// The longest sequence, in tokens with the special ones.
    pub fn max_len(&self) -> usize {
        self.tokenizer.max_len(self.model.config().max_position_embeddings)
    }

    /// As [`sequence`] with its own tokenizer.
    pub(super) fn sequence(&self, input: &TextPair, most: usize) -> Result<Sequence> {
        sequence(&self.tokenizer, input, most)
    }
}

/// `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]`, cut to at most `most` tokens: the longer text first, as
/// `truncation=True` does in `transformers`.
///
/// # Errors
/// [`Error::Input`] if `most` leaves no room for the special tokens.
pub fn sequence(tokenizer: &Tokenizer, input: &TextPair, most: usize) -> Result<Sequence> {
    // To transformers an empty second text is none.
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

/// As sentence-transformers' do_lower_case: character by character, whatever stands beside them.
pub(super) fn lowercase(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Tokens left for texts beside `special` ones.
pub(crate) fn room(most: usize, special: usize) -> Result<usize> {
    most.checked_sub(special).ok_or_else(|| Error::Input {
        problem: format!("a sequence of at most {most} tokens has no room for text"),
        help: "Use a model that takes longer sequences".into(),
    })
}

/// A text that is read with others, one at a time: its tokens, as far as any pair can hold them.
pub(super) struct Side<'a> {
    tokenizer: &'a Tokenizer,
    encoder: Encoder<'a>,
    has_more: bool,
}

impl<'a> Side<'a> {
    /// `room` is what a pair has beside its special tokens.
    pub fn new(tokenizer: &'a Tokenizer, text: &'a str, room: usize) -> Result<Self> {
        let mut side = Self { tokenizer, encoder: tokenizer.encoder(text).keeping(room), has_more: true };
        // One token more than fits tells that the text is longer.
        while side.has_more && (tokenizer.cuts_left() || side.encoder.count() <= room) {
            side.step()?;
        }
        Ok(side)
    }

    fn step(&mut self) -> Result<()> {
        self.has_more = self.encoder.step()?;
        Ok(())
    }

    /// So many of its tokens: the first, or the last where the tokenizer cuts texts at their beginning.
    pub fn some(&self, count: usize) -> &[u32] {
        let ids = self.encoder.ids();
        let count = count.min(ids.len());
        if self.tokenizer.cuts_left() { &ids[ids.len() - count..] } else { &ids[..count] }
    }

    /// How many tokens of this text and of `other` a pair holds that has so much room.
    pub fn fit(&mut self, other: &mut Side<'_>, room: usize) -> Result<(usize, usize)> {
        // Which of two long texts is the longer decides who has the odd token. They are read no further than it takes to know that.
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

/// How many tokens of two texts of so many are kept: the longer is cut, and both once they are equally long, until
/// together they fit.
fn longest_first(a: usize, b: usize, room: usize) -> (usize, usize) {
    if a + b <= room {
        return (a, b);
    }
    // Where both are too long, the odd token is the longer one's.
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
