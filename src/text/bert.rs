//! What BERT does with a text before WordPiece: cleaning, accents, case, and the cut into words. One character at a time, so that memory
//! does not grow with the text.
//!
//! It gives the characters and places that BertNormalizer and BertPreTokenizer of the `tokenizers` crate give, which hold a whole text in
//! several forms with two numbers for each byte: some 500 bytes for each of the text.

use std::collections::VecDeque;

use serde::Deserialize;

use super::unicode::{Category, combining_class, decompose};

/// The section `normalizer` of tokenizer.json.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct BertNormalizer {
    pub clean_text: bool,
    pub handle_chinese_chars: bool,
    /// As `lowercase`, where it is not said.
    pub strip_accents: Option<bool>,
    pub lowercase: bool,
}

impl BertNormalizer {
    /// Changes nothing.
    pub const NONE: Self =
        Self { clean_text: false, handle_chinese_chars: false, strip_accents: Some(false), lowercase: false };

    /// What becomes of a text.
    pub fn normalize(&self, text: &str) -> String {
        let (mut out, mut marks) = (String::new(), Marks::default());
        for (start, c) in text.char_indices() {
            self.push(&mut marks, c, start, &mut |c, _| out.push(c));
        }
        self.finish(&mut marks, &mut |c, _| out.push(c));
        out
    }

    /// Takes a character that begins at the byte `start`, and gives `out` what is sure to become of it and those before, each with the
    /// start of the character that it comes from.
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

    /// No more characters come.
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

/// Marks that wait for the last of their letter, since they are put in Unicode's canonical order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Combining class, mark, and whether it is the first that its character became.
    pending: Vec<(u8, char, bool)>,
    /// Where the characters of these marks begin. Marks take them in turn, in their new order.
    sources: VecDeque<usize>,
    /// The source that was taken last.
    last: usize,
}

/// What BertNormalizer puts spaces around. The gap before U+2B920 is the crate's.
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

/// What BERT takes for a word by itself.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { Category::Punctuation.contains(c) }
}
