//! Tokenizes a text with a Unigram model, some kilobytes at a time.
//!
//! A part that is normalized ends between two characters that no normalizer and no added token joins. Words continue
//! from one part to the next, and emit their tokens as they are decided. So memory holds only a part and its tokens.

use tokenizers::NormalizedString;
use tokenizers::normalizer::Range as Referential;

use super::lattice::{Tokens, Unknown, Word};
use super::{Metaspace, Prepend, Unigram};
use crate::error::clip;
use crate::text::encoding::Encoding;
use crate::text::matcher::Matcher;

/// The number of places to try for the end of a part. Then the part is made twice as long.
const TRIES: usize = 64;

/// A text in progress.
#[derive(Debug, Default)]
pub(in crate::text) struct Stream {
    /// The number of bytes that were read.
    done: usize,
    /// Whether the next character continues another: it follows neither an added token nor white space that cuts.
    has_begun: bool,
    word: Word,
    count: u32,
    tokens: Tokens,
    encoding: Encoding,
}

impl Stream {
    /// Moves the tokens so far to `out`. No further text changes them.
    pub fn give(&mut self, out: &mut Encoding) {
        out.ids.append(&mut self.encoding.ids);
        out.offsets.append(&mut self.encoding.offsets);
        out.words.append(&mut self.encoding.words);
    }

    fn take(&mut self) {
        for (id, bytes) in self.tokens.drain(..) {
            self.encoding.ids.push(id);
            self.encoding.offsets.push(bytes);
            self.encoding.words.push(self.count);
        }
    }
}

impl Unigram {
    /// Reads about `part` more bytes of `text`, and returns whether more remain. `added` are the matchers for tokens
    /// before and after normalization.
    ///
    /// # Errors
    /// A message about text that cannot be tokenized.
    pub fn step(&self, stream: &mut Stream, text: &str, part: usize, added: [&Matcher; 2]) -> Result<bool, String> {
        let rest = text.get(stream.done..).unwrap_or_default();
        let mut end = self.end(rest, part, added);
        let parts = match self.parts(&rest[..end], added)? {
            // A lost start affects the places up to the end of the text.
            (_, true) if end < rest.len() => {
                end = rest.len();
                self.parts(rest, added)?.0
            }
            (parts, _) => parts,
        };
        let unknown = |Unknown(c): Unknown| {
            let c = clip(&c.to_string());
            format!("the character {c:?} is in no piece of the vocabulary, which has no unknown token")
        };
        for (part, token) in &parts {
            self.feed(stream, part, *token).map_err(unknown)?;
        }
        stream.done += end;
        let is_over = stream.done >= text.len();
        if is_over {
            self.end_word(stream).map_err(unknown)?;
        } else {
            stream.word.advance(&self.model, &mut stream.tokens).map_err(unknown)?;
            stream.take();
        }
        Ok(!is_over)
    }

    /// A text as added tokens and the normalized stretches between them, and whether the start of the last stretch is
    /// lost.
    #[expect(clippy::type_complexity, reason = "a list and a flag")]
    fn parts(
        &self,
        text: &str,
        [raw, normalized]: [&Matcher; 2],
    ) -> Result<(Vec<(NormalizedString, Option<u32>)>, bool), String> {
        let (mut parts, mut is_lost) = (Vec::new(), false);
        for (mut stretch, token) in raw.split(text.into()) {
            is_lost = false;
            if token.is_some() {
                parts.push((stretch, token));
                continue;
            }
            is_lost = self.normalizer.normalize(&mut stretch).map_err(|e| e.to_string())?;
            parts.extend(normalized.split(stretch));
        }
        Ok((parts, is_lost))
    }

    fn feed(&self, stream: &mut Stream, part: &NormalizedString, token: Option<u32>) -> Result<(), Unknown> {
        let first = stream.done + part.offsets_original().0;
        let origin = |bytes: std::ops::Range<usize>| {
            let bytes = part.convert_offsets(Referential::Normalized(bytes)).unwrap_or_default();
            first + bytes.start..first + bytes.end
        };
        if let Some(id) = token {
            self.end_word(stream)?;
            if !part.is_empty() {
                stream.tokens.push((id, origin(0..part.len())));
                stream.take();
                stream.count += 1;
            }
            stream.has_begun = false;
            return Ok(());
        }
        for (at, mut c) in part.get().char_indices() {
            if self.cutter.at_white_space && c.is_whitespace() {
                self.end_word(stream)?;
                stream.has_begun = false;
                continue;
            }
            let origin = origin(at..at + c.len_utf8());
            let origin = (origin.start, origin.end);
            if let Some(Metaspace { sign, prepend, cuts }) = &self.cutter.metaspace {
                c = if c == ' ' { *sign } else { c };
                let is_first = *prepend == Prepend::First && origin.0 == 0;
                if !stream.has_begun && c != *sign && (is_first || *prepend == Prepend::Always) {
                    stream.word.push(*sign, origin);
                } else if c == *sign && *cuts {
                    self.end_word(stream)?;
                }
            }
            stream.has_begun = true;
            stream.word.push(c, origin);
        }
        Ok(())
    }

    fn end_word(&self, stream: &mut Stream) -> Result<(), Unknown> {
        if !stream.word.is_empty() {
            stream.word.finish(&self.model, &mut stream.tokens)?;
            stream.take();
            stream.count += 1;
        }
        Ok(())
    }

    /// The end of the first part of a text: a place where it may be cut, or the end of the text.
    fn end(&self, text: &str, part: usize, added: [&Matcher; 2]) -> usize {
        let mut most = part.max(1);
        while most < text.len() {
            let places = (1..=most).rev().filter(|at| text.is_char_boundary(*at)).take(TRIES);
            if let Some(at) = places.into_iter().find(|at| self.may_end(text, *at, added)) {
                return at;
            }
            most = most.saturating_mul(2);
        }
        text.len()
    }

    fn may_end(&self, text: &str, at: usize, [raw, normalized]: [&Matcher; 2]) -> bool {
        let (head, tail) = text.split_at(at);
        let (Some(before), Some(after)) = (head.chars().next_back(), tail.chars().next()) else { return false };
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        is_plain(before)
            && is_plain(after)
            && !raw.touches(text, at)
            && self.normalizer.may_cut(before, after)
            && (normalized.is_empty() || {
                // If normalization does not change the text, these tokens are where they seem to be.
                let around = normalized.around(text, at);
                let text = &text[around.clone()];
                self.normalizer.keeps(text) && !normalized.touches(text, at - around.start)
            })
    }
}
