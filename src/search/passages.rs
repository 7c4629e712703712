//! Cuts texts into passages that an encoder can read whole: paragraphs, with the headings above them.

use std::ops::Range;

use crate::error::Result;
use crate::text::{Encoding, Tokenizer};

/// Short paragraphs of a section are joined up to this many tokens. The limit is low, because a passage about several things is similar to none of them.
const JOINED: usize = 128;

/// About how many bytes of a block are tokenized at once.
const PIECE: usize = 16 << 10;

/// A part of a text that gets its own vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its byte range in the text.
    pub bytes: Range<usize>,
    /// The line in which it begins, counted from 1.
    pub line: usize,
}

/// The markup of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Paragraphs between empty lines.
    Plain,
    /// Paragraphs, headings and fenced code.
    Markdown,
}

/// Cuts a text into passages of at most `room` tokens each. Parts without tokens are left out.
///
/// A heading begins a passage and stays with the text that follows it. Paragraphs that are too long are cut between sentences, or else between
/// words.
///
/// # Errors
/// The errors of [`Tokenizer::encode`].
pub fn passages(text: &str, form: Form, tokenizer: &Tokenizer, room: usize) -> Result<Vec<Passage>> {
    let mut joiner = Joiner { text, room: room.max(1), line: 1, counted: 0, current: None, done: Vec::new() };
    for block in blocks(text, form) {
        for bytes in cut(text, block.bytes.clone()) {
            for (bytes, tokens) in fitting(text, bytes, tokenizer, room.max(1))? {
                joiner.add(Part { bytes, tokens, is_heading: block.is_heading });
            }
        }
    }
    joiner.close();
    Ok(joiner.done)
}

/// A paragraph, a heading, or code between its fences.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    bytes: Range<usize>,
    lines: usize,
    is_heading: bool,
}

/// The blocks of a text, in order.
fn blocks(text: &str, form: Form) -> Vec<Block> {
    let mut all = Vec::new();
    let mut open: Option<Block> = None;
    let mut fence: Option<&str> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bytes = at..at + line.len();
        at = bytes.end;
        // A byte order mark is not part of the first line.
        let shown = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let is_indented = form == Form::Plain || line.starts_with('\t') || line.starts_with("    ");
        let is_fence = !is_indented && fence_of(shown).is_some();
        if let Some(mark) = fence {
            open = extended(open, bytes);
            // A closing fence is at least as long, and nothing follows it.
            if is_fence && shown.starts_with(mark) && shown.trim_start_matches(&mark[..1]).is_empty() {
                fence = None;
                all.extend(open.take());
            }
        } else if is_fence {
            all.extend(open.take());
            open = extended(None, bytes);
            fence = fence_of(shown);
        } else if shown.is_empty() {
            all.extend(open.take());
        } else if is_indented {
            open = extended(open, bytes);
        } else if is_heading(shown) {
            all.extend(open.take());
            all.push(Block { bytes, lines: 1, is_heading: true });
        } else if is_rule(shown) {
            // Under a line of text, it makes that line a heading. Alone, it only separates.
            if let Some(mut block) = open.take() {
                block.is_heading = block.lines == 1 && !shown.starts_with(['*', '_']);
                block.bytes.end = bytes.end;
                all.push(block);
            }
        } else {
            open = extended(open, bytes);
        }
    }
    all.extend(open);
    all
}

fn extended(open: Option<Block>, line: Range<usize>) -> Option<Block> {
    Some(match open {
        Some(block) => Block { bytes: block.bytes.start..line.end, lines: block.lines + 1, ..block },
        None => Block { bytes: line, lines: 1, is_heading: false },
    })
}

/// The marks that begin or end a line of fenced code.
fn fence_of(line: &str) -> Option<&str> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.len() - line.trim_start_matches(mark).len();
    (length >= 3).then(|| &line[..length])
}

fn is_heading(line: &str) -> bool {
    let rest = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - rest.len())) && (rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Whether a line is a rule: only `=`, `-`, `*` or `_`.
fn is_rule(line: &str) -> bool {
    let mark = line.chars().next().filter(|c| matches!(c, '=' | '-' | '*' | '_'));
    line.len() >= 2 && mark.is_some_and(|mark| line.chars().all(|c| c == mark))
}

/// Cuts a long block into pieces that are cheap to tokenize, after white space if possible.
fn cut(text: &str, mut rest: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    while rest.len() > PIECE {
        let most = floor_char(text, rest.start + PIECE);
        let space = text[rest.start..most].char_indices().rev().find(|(_, c)| c.is_whitespace());
        let at = space.map_or(most, |(at, c)| rest.start + at + c.len_utf8());
        pieces.push(rest.start..at);
        rest.start = at;
    }
    pieces.push(rest);
    pieces
}

/// The last character boundary at or before this byte.
fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Cuts a piece of text into parts of at most `room` tokens. Also returns about how many tokens each has.
fn fitting(text: &str, bytes: Range<usize>, tokenizer: &Tokenizer, room: usize) -> Result<Vec<(Range<usize>, usize)>> {
    let piece = &text[bytes.clone()];
    let encoding = tokenizer.encode(piece)?;
    let count = encoding.len();
    let mut parts = Vec::new();
    let mut first = 0;
    let mut start = bytes.start;
    while first < count {
        let next = if count - first <= room { count } else { last_cut(piece, &encoding, first, room) };
        let end = match encoding.offsets.get(next) {
            Some(token) => floor_char(text, bytes.start + token.start).max(start),
            None => bytes.end,
        };
        let part = trimmed(text, start..end);
        // A word that is not in the vocabulary is one token, however long it is. It must not make endless passages.
        let weight = (next - first).max(part.len() / 16);
        parts.push((part, weight));
        (first, start) = (next, end);
    }
    parts.retain(|(bytes, _)| !bytes.is_empty());
    Ok(parts)
}

/// The best token to end a part before, among those from `first` on. The part then has at most `room` tokens.
fn last_cut(piece: &str, encoding: &Encoding, first: usize, room: usize) -> usize {
    let candidates = || (first + room.div_ceil(2)..=first + room).rev();
    let between = |at: usize| {
        let (before, after) = (&encoding.offsets[at - 1], &encoding.offsets[at]);
        (piece.get(before.clone()).unwrap_or_default(), piece.get(before.end..after.start).unwrap_or_default())
    };
    let sentence = |at: &usize| {
        let (token, gap) = between(*at);
        token.ends_with(['。', '！', '？'])
            || (token.ends_with(['.', '!', '?']) && !gap.is_empty())
            || gap.contains('\n')
    };
    let word = |at: &usize| encoding.words[*at] != encoding.words[*at - 1] && !between(*at).1.is_empty();
    // If the cut is between words, the parts are made about equally long, so that no short rest remains.
    let left = encoding.len() - first;
    let even = first + left.div_ceil(left.div_ceil(room));
    let found = candidates()
        .find(sentence)
        .or_else(|| (even..=first + room).find(word))
        .or_else(|| candidates().filter(|at| *at < even).find(word));
    found.filter(|at| *at > first).unwrap_or(first + room)
}

/// Removes white space at both ends.
fn trimmed(text: &str, bytes: Range<usize>) -> Range<usize> {
    let part = &text[bytes.clone()];
    let invisible = |c: char| c.is_whitespace() || c == '\u{feff}';
    let start = bytes.start + (part.len() - part.trim_start_matches(invisible).len());
    start..(bytes.end - (part.len() - part.trim_end_matches(invisible).len())).max(start)
}

struct Part {
    bytes: Range<usize>,
    tokens: usize,
    is_heading: bool,
}

/// Joins parts into passages.
struct Joiner<'a> {
    text: &'a str,
    room: usize,
    /// The line of the byte `counted`, up to which lines were counted.
    line: usize,
    counted: usize,
    /// The passage that may still grow, or a heading if there is nothing but headings so far.
    current: Option<Part>,
    done: Vec<Passage>,
}

impl Joiner<'_> {
    fn add(&mut self, part: Part) {
        let joins = self.current.as_ref().is_some_and(|current| {
            let together = current.tokens + part.tokens;
            match (current.is_heading, part.is_heading) {
                (true, _) => together <= self.room,
                (false, true) => false,
                (false, false) => together <= self.room.min(JOINED),
            }
        });
        if !joins {
            self.close();
        }
        self.current = Some(match self.current.take() {
            Some(current) => Part {
                bytes: current.bytes.start..part.bytes.end,
                tokens: current.tokens + part.tokens,
                is_heading: part.is_heading,
            },
            None => part,
        });
    }

    fn close(&mut self) {
        let Some(Part { bytes, .. }) = self.current.take() else { return };
        self.line += self.text[self.counted..bytes.start].bytes().filter(|byte| *byte == b'\n').count();
        self.counted = bytes.start;
        self.done.push(Passage { bytes, line: self.line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        Tokenizer::load(&root.join("models/minilm-l6-qa"), 30_522).unwrap()
    }

    fn found(text: &str, form: Form, room: usize) -> Vec<(usize, &str)> {
        let all = passages(text, form, &tokenizer(), room).unwrap();
        all.into_iter().map(|passage| (passage.line, &text[passage.bytes])).collect()
    }

    #[test]
    fn markdown_is_cut_at_headings_and_paragraphs() {
        let text = "\u{feff}# Otters\n\nThey swim.\nAnd sleep.\n\nThey eat.\r\n\r\n## Food\n### Fish\nHerring\n\n```sh\n# no heading\n\nrun\n```\n\
            Old style\n---------\nText.\n\n---\n\nLast one.\n";
        assert_eq!(
            found(text, Form::Markdown, 64),
            [
                (1, "# Otters\n\nThey swim.\nAnd sleep.\n\nThey eat."),
                (8, "## Food\n### Fish\nHerring\n\n```sh\n# no heading\n\nrun\n```"),
                (17, "Old style\n---------\nText.\n\n---\n\nLast one."),
            ]
        );
        // In plain text, a number sign does not make a heading.
        assert_eq!(found("# a\nb\n# c\n", Form::Plain, 64), [(1, "# a\nb\n# c")]);
        for (open, lines) in [("```\n# a\n\n# b", 1), ("~~~~\n~~~\n# a\n~~~~\n# b", 2)] {
            assert_eq!(found(open, Form::Markdown, 64).len(), lines, "{open}");
        }
    }

    #[test]
    fn paragraphs_are_joined_only_while_they_are_short() {
        let short = "A cat sat on the mat. ".repeat(3);
        let text = vec![short.trim(); 30].join("\n\n");
        let all = found(&text, Form::Plain, 254);
        assert!(all.len() > 4 && all.iter().all(|(_, passage)| passage.matches("\n\n").count() <= 8), "{all:?}");
        assert_eq!(all[1].0, 2 * (all[0].1.matches("\n\n").count() + 1) + 1);
    }

    #[test]
    fn long_paragraphs_are_cut_between_sentences_or_words() {
        let tokenizer = tokenizer();
        let sentences = "The river is cold. It is deep, too! Who swims there? ".repeat(40);
        let all = found(&sentences, Form::Plain, 24);
        assert!(all.iter().all(|(_, passage)| passage.ends_with(['.', '!', '?'])), "{all:?}");
        for text in [
            sentences.clone(),
            "no stops at all ".repeat(400),
            "unbelievablyunbelievably".repeat(200),
            "漢字かな。".repeat(300),
            "e\u{301}\u{302}🦀\u{200d}".repeat(500),
            "[SEP]".repeat(300),
            "\u{0}\u{1}\n".repeat(300),
        ] {
            for room in [1, 2, 7, 100] {
                let all = passages(&text, Form::Markdown, &tokenizer, room).unwrap();
                let mut end = 0;
                for Passage { bytes, .. } in &all {
                    assert!(bytes.start >= end && !bytes.is_empty(), "{bytes:?} after {end} in {text:?}");
                    end = bytes.end;
                    // A word that is cut may have more pieces than the whole word.
                    let tokens = tokenizer.encode(&text[bytes.clone()]).unwrap().len();
                    assert!(tokens <= room + 8, "{tokens} tokens, room for {room}: {:?}", &text[bytes.clone()]);
                }
            }
        }
    }

    #[test]
    fn what_has_no_text_has_no_passage() {
        for text in ["", "\n\n \t\r\n", "\u{feff}", "\u{0}\u{0}"] {
            assert!(found(text, Form::Markdown, 10).is_empty(), "{text:?}");
        }
        // Megabytes without white space are read in pieces.
        let all = found(&"a".repeat(3 << 20), Form::Plain, 254).len();
        assert!((100..=400).contains(&all), "{all}");
    }
}
