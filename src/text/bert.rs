//! BERT's normalization before WordPiece: it cleans the text, strips accents, changes case, and splits words. It works one character at a time, so memory
//! does not grow with the text.
//!
//! It gives the same characters and places as BertNormalizer and BertPreTokenizer of the `tokenizers` crate. Those hold several copies of the whole text
//! with two numbers for each byte: about 500 bytes for each byte of text.

use std::collections::VecDeque;

use serde::Deserialize;

use super::unicode::{Category, combining_class, decompose};

/// The section `normalizer` of tokenizer.json.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct BertNormalizer {
    pub clean_text: bool,
    pub handle_chinese_chars: bool,
    /// Equals `lowercase` if the file does not say.
    pub strip_accents: Option<bool>,
    pub lowercase: bool,
}

impl BertNormalizer {
    /// A normalizer that changes nothing.
    pub const NONE: Self =
        Self { clean_text: false, handle_chinese_chars: false, strip_accents: Some(false), lowercase: false };

    /// Also changes case. The setting for accents stays. The order of the two steps makes no difference.
    pub fn lowercase_first(&mut self) {
        self.strip_accents = Some(self.strip_accents.unwrap_or(self.lowercase));
        self.lowercase = true;
    }

    /// Normalizes a whole text.
    pub fn normalize(&self, text: &str) -> String {
        let (mut out, mut marks) = (String::new(), Marks::default());
        for (start, c) in text.char_indices() {
            self.push(&mut marks, c, start, &mut |c, _| out.push(c));
        }
        self.finish(&mut marks, &mut |c, _| out.push(c));
        out
    }

    /// Takes the character that begins at byte `start`. Passes to `out` all characters that are final now, each with the start of the
    /// character that it comes from.
    pub fn push(&self, marks: &mut Marks, c: char, start: usize, out: &mut impl FnMut(char, usize)) {
        let c = match c {
            '\t' | '\n' | '\r' if self.clean_text => ' ',
            ' '..='~' => c,
            '\0' | '\u{fffd}' if self.clean_text => return,
            c if self.clean_text && Category::Other.contains(c) => return,
            c if self.clean_text && c.is_whitespace() => ' ',
            c => c,
        };
        if self.handle_chinese_chars && is_chinese(c) {
            [' ', c, ' '].into_iter().for_each(|c| self.decompose(marks, c, start, out));
        } else {
            self.decompose(marks, c, start, out);
        }
    }

    /// Ends the text.
    pub fn finish(&self, marks: &mut Marks, out: &mut impl FnMut(char, usize)) {
        marks.pending.sort_by_key(|(class, ..)| *class);
        for (_, c, is_first) in marks.pending.drain(..) {
            if is_first {
                marks.last = marks.sources.pop_front().unwrap_or(marks.last);
            }
            if !Category::NonspacingMark.contains(c) {
                self.lower(c, marks.last, out);
            }
        }
    }

    fn decompose(&self, marks: &mut Marks, c: char, start: usize, out: &mut impl FnMut(char, usize)) {
        if !self.strip_accents.unwrap_or(self.lowercase) {
            return self.lower(c, start, out);
        }
        if c.is_ascii() {
            self.finish(marks, out);
            marks.last = start;
            return self.lower(c, start, out);
        }
        let mut is_first = true;
        decompose(c, &mut |part| {
            let class = combining_class(part);
            if class == 0 {
                // Marks are put in order up to here.
                self.finish(marks, out);
            }
            if is_first {
                marks.sources.push_back(start);
            }
            marks.pending.push((class, part, is_first));
            if class == 0 {
                self.finish(marks, out);
            }
            is_first = false;
        });
    }

    fn lower(&self, c: char, start: usize, out: &mut impl FnMut(char, usize)) {
        if !self.lowercase {
            out(c, start);
        } else if c.is_ascii() {
            out(c.to_ascii_lowercase(), start);
        } else {
            c.to_lowercase().for_each(|c| out(c, start));
        }
    }
}

/// Marks that wait until their letter is complete, because they must be in Unicode's canonical order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Combining class, mark, and whether it is the first mark of its character.
    pending: Vec<(u8, char, bool)>,
    /// The places of the characters that these marks come from. The marks take these places in turn, in their new order.
    sources: VecDeque<usize>,
    /// The place that was taken last.
    last: usize,
}

/// The characters that BertNormalizer surrounds with spaces. The gap before U+2B920 is in the original too.
pub(super) fn is_chinese(c: char) -> bool {
    matches!(
        c,
        '\u{4e00}'..='\u{9fff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2b73f}'
            | '\u{2b740}'..='\u{2b81f}'
            | '\u{2b920}'..='\u{2ceaf}'
            | '\u{f900}'..='\u{faff}'
            | '\u{2f800}'..='\u{2fa1f}'
    )
}

/// The characters that BERT treats as words of their own.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { Category::Punctuation.contains(c) }
}
