//! A model with its tokenizer on a device: what every task stands on.

use std::sync::Arc;

use crate::checkpoint::{Checkpoint, Head};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::{Encoding, Sequence, Tokenizer};

/// A model with one head, and the tokenizer that belongs to it.
#[derive(Debug)]
pub struct TextModel {
    tokenizer: Tokenizer,
    model: Model,
}

/// A text, and the one that stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextPair {
    pub text: String,
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
        Ok(Self { tokenizer, model: Model::load(checkpoint, head, device)? })
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

    pub fn model(&self) -> &Model {
        &self.model
    }

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
        return Ok(tokenizer.single(&tokenizer.encode_first(&input.text, room(most, 2)?)?.ids));
    };
    let room = room(most, 3)?;
    let encode = |text: &String| tokenizer.encode_first(text, room + 1);
    let (mut a, mut b) = (encode(&input.text)?, encode(pair)?);
    if a.len() > room && b.len() > room {
        // Which of two long texts is the longer decides who has the odd token.
        (a, b) = (tokenizer.encode(&input.text)?, tokenizer.encode(pair)?);
    }
    longest_first(&mut a, &mut b, room);
    Ok(tokenizer.pair(&a.ids, &b.ids))
}

/// Tokens left for texts beside `special` ones.
pub(crate) fn room(most: usize, special: usize) -> Result<usize> {
    most.checked_sub(special).ok_or_else(|| Error::Input {
        problem: format!("a sequence of at most {most} tokens has no room for text"),
        mend: "Use a model that takes longer sequences".into(),
    })
}

/// Cuts the longer of two texts, and both once they are equally long, until together they fit.
fn longest_first(a: &mut Encoding, b: &mut Encoding, room: usize) {
    if a.len() + b.len() <= room {
        return;
    }
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.len() * 2 > room {
        // Both are too long; the odd token is the longer one's.
        short.truncate(room / 2);
    }
    long.truncate(room - short.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_is_cut_first() {
        let of = |n: usize| Encoding { ids: vec![7; n], offsets: vec![0..0; n], words: vec![0; n] };
        for (a, b, room, expected) in [
            (3, 4, 7, (3, 4)),
            (3, 9, 7, (3, 4)),
            (9, 3, 7, (4, 3)),
            (9, 8, 7, (4, 3)),
            (8, 9, 7, (3, 4)),
            (5, 5, 0, (0, 0)),
        ] {
            let (mut x, mut y) = (of(a), of(b));
            longest_first(&mut x, &mut y, room);
            assert_eq!((x.len(), y.len()), expected, "{a} {b} in {room}");
        }
    }
}
