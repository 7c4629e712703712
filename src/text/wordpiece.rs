//! WordPiece: takes the longest piece of the vocabulary that a word begins with, then the longest piece of the rest, and so on.
//!
//! The `tokenizers` crate also has a WordPiece. Its map from ids to tokens depends on the order of another map, so if two tokens have the same id, it
//! may name a different one in each run.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::added::Added;
use super::bert::{BertNormalizer, Marks, is_punctuation};
use super::encoding::Encoding;
use super::matcher::{Part, Scan};

/// The WordPiece section of a file.
pub(super) struct WordPieceParts {
    pub vocab: HashMap<String, u32>,
    pub unk: String,
    pub prefix: String,
    pub max_word_chars: usize,
    pub normalizer: BertNormalizer,
}

/// The vocabulary and its rules.
pub(super) struct WordPiece {
    ids: HashMap<Arc<str>, u32>,
    /// Tokens by id. Of tokens with the same id, the first by its bytes.
    tokens: Vec<(u32, Arc<str>)>,
    unk: u32,
    /// The prefix of a piece inside a word.
    prefix: String,
    max_word_chars: usize,
    pub normalizer: BertNormalizer,
}

impl WordPiece {
    /// Returns `None` if the unknown token is not in the vocabulary.
    pub fn new(parts: WordPieceParts) -> Option<Self> {
        let WordPieceParts { vocab, unk, prefix, max_word_chars, normalizer } = parts;
        let unk = *vocab.get(&unk)?;
        let ids: HashMap<Arc<str>, u32> = vocab.into_iter().map(|(token, id)| (token.into(), id)).collect();
        let mut tokens: Vec<_> = ids.iter().map(|(token, id)| (*id, token.clone())).collect();
        tokens.sort_unstable();
        tokens.dedup_by_key(|(id, _)| *id);
        Some(Self { ids, tokens, unk, prefix, max_word_chars, normalizer })
    }

    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        let at = self.tokens.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.tokens.get(at).map(|(_, token)| &**token)
    }

    /// The pieces of a word with the byte range of each, or `None` if the vocabulary cannot spell the word.
    fn pieces(&self, word: &str) -> Option<Vec<(u32, Range<usize>)>> {
        let (mut pieces, mut start, mut text) = (Vec::new(), 0, String::new());
        while start < word.len() {
            let rest = &word[start..];
            text.clear();
            text.push_str(if start == 0 { "" } else { &self.prefix });
            let prefix = text.len();
            text.push_str(rest);
            let mut ends = rest.char_indices().rev().map(|(at, c)| at + c.len_utf8());
            let (end, id) = ends.find_map(|end| Some((start + end, self.token_to_id(&text[..prefix + end])?)))?;
            pieces.push((id, start..end));
            start = end;
        }
        Some(pieces)
    }
}

/// A text while it is tokenized. Emitted tokens are final; later text does not change them.
#[derive(Debug, Default)]
pub(super) struct Stream {
    scan: Scan,
    marks: Marks,
    normalized: Normalized,
    word: Word,
}

/// Normalized text in which added tokens are not found yet.
#[derive(Debug, Default)]
struct Normalized {
    text: String,
    /// For each byte, the start of the character that it comes from.
    starts: Vec<usize>,
    scan: Scan,
    /// The length at which to search again.
    enough: usize,
}

/// A word that may continue.
#[derive(Debug, Default)]
struct Word {
    text: String,
    /// For each byte, the start of the character that it comes from.
    starts: Vec<usize>,
    chars: usize,
    /// The start of the character that the last character comes from. A word that is too long does not store its text.
    last: usize,
    /// The number of words before this one.
    count: u32,
}

/// The context for emitting tokens: the model, the original text, and the output.
struct Sink<'a> {
    model: &'a WordPiece,
    original: &'a str,
    out: &'a mut Encoding,
}

impl Stream {
    /// Reads about `most` more bytes of `text`. Returns false at the end.
    pub fn step(&mut self, model: &WordPiece, added: &Added, text: &str, most: usize, out: &mut Encoding) -> bool {
        let mut sink = Sink { model, original: text, out };
        let until = self.scan.given.saturating_add(most);
        while self.scan.given < until {
            match added.raw.part(text, &mut self.scan, most, true) {
                Some(Part::Text(range)) => self.read(&mut sink, added, range),
                Some(Part::Token(range, id)) => {
                    self.finish(&mut sink, added);
                    sink.token(id, range, &mut self.word.count);
                    return true;
                }
                None => {
                    self.finish(&mut sink, added);
                    return false;
                }
            }
        }
        true
    }

    fn read(&mut self, sink: &mut Sink<'_>, added: &Added, range: Range<usize>) {
        let Self { marks, normalized, word, .. } = self;
        let has_more = !added.normalized.is_empty();
        for (at, c) in sink.original[range.clone()].char_indices() {
            sink.model.normalizer.push(marks, c, range.start + at, &mut |c, start| match has_more {
                true => normalized.push(c, start),
                false => word.push(sink, c, start),
            });
        }
        normalized.find(sink, word, added, false);
    }

    /// Ends a stretch of text between added tokens.
    fn finish(&mut self, sink: &mut Sink<'_>, added: &Added) {
        let Self { marks, normalized, word, .. } = self;
        let has_more = !added.normalized.is_empty();
        sink.model.normalizer.finish(marks, &mut |c, start| match has_more {
            true => normalized.push(c, start),
            false => word.push(sink, c, start),
        });
        normalized.find(sink, word, added, true);
        word.end(sink);
    }
}

impl Normalized {
    fn push(&mut self, c: char, start: usize) {
        self.text.push(c);
        self.starts.resize(self.text.len(), start);
    }

    /// Finds added tokens, if there is enough text.
    fn find(&mut self, sink: &mut Sink<'_>, word: &mut Word, added: &Added, is_whole: bool) {
        const SOME: usize = 4096;
        if self.text.len() < self.enough.max(SOME) && !is_whole {
            return;
        }
        while let Some(part) = added.normalized.part(&self.text, &mut self.scan, usize::MAX, is_whole) {
            match part {
                Part::Text(range) => {
                    for (at, c) in self.text[range.clone()].char_indices() {
                        word.push(sink, c, self.starts[range.start + at]);
                    }
                }
                Part::Token(range, id) => {
                    word.end(sink);
                    let range = self.starts[range.start]..end(sink.original, self.starts[range.end - 1]);
                    sink.token(id, range, &mut word.count);
                }
            }
        }
        if is_whole {
            self.text.clear();
            self.starts.clear();
            self.scan = Scan::default();
        } else {
            let done = self.scan.drop_front(&self.text);
            self.text.drain(..done);
            self.starts.drain(..done);
        }
        // If nothing is decided, the search becomes rarer and rarer, so that the time stays linear.
        self.enough = self.text.len() * 2;
    }
}

impl Word {
    fn push(&mut self, sink: &mut Sink<'_>, c: char, start: usize) {
        if c.is_whitespace() {
            return self.end(sink);
        }
        let is_alone = is_punctuation(c);
        if is_alone {
            self.end(sink);
        }
        self.chars += 1;
        self.last = start;
        if self.chars <= sink.model.max_word_chars.max(1) {
            self.text.push(c);
            self.starts.resize(self.text.len(), start);
        }
        if is_alone {
            self.end(sink);
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        let Some(first) = self.starts.first() else { return };
        let is_long = self.chars > sink.model.max_word_chars;
        let pieces = if is_long { None } else { sink.model.pieces(&self.text) };
        match pieces {
            Some(pieces) => {
                for (id, range) in pieces {
                    sink.push(id, self.starts[range.start]..end(sink.original, self.starts[range.end - 1]), self.count);
                }
            }
            None => sink.push(sink.model.unk, *first..end(sink.original, self.last), self.count),
        }
        self.count = self.count.saturating_add(1);
        self.text.clear();
        self.starts.clear();
        self.chars = 0;
    }
}

impl Sink<'_> {
    fn push(&mut self, id: u32, bytes: Range<usize>, word: u32) {
        self.out.ids.push(id);
        self.out.offsets.push(bytes);
        self.out.words.push(word);
    }

    /// An added token is a word by itself.
    fn token(&mut self, id: u32, bytes: Range<usize>, count: &mut u32) {
        self.push(id, bytes, *count);
        *count = count.saturating_add(1);
    }
}

/// The end of the character that begins at `start`.
fn end(text: &str, start: usize) -> usize {
    text[start..].chars().next().map_or(start, |c| start + c.len_utf8())
}
