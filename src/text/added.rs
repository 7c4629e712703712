//! Added tokens: `[SEP]` and the like, found in the text before WordPiece sees it.
//!
//! The rules are those of Hugging Face tokenizers: leftmost match, longest of those, in two passes. Tokens that are
//! not `normalized` are looked for in the text as it is, the others in the normalised pieces in between.

use std::ops::Range;

use serde::Deserialize;
use tokenizers::normalizer::Range as Referential;
use tokenizers::{NormalizedString, Token};

/// One entry of `added_tokens`, as tokenizer.json writes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AddedToken {
    #[serde(default)]
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
    /// Left out where a text is decoded without special tokens.
    #[serde(default)]
    pub special: bool,
}

/// A token that is matched as it stands.
pub(super) fn plain(content: &str) -> AddedToken {
    let content = content.to_owned();
    AddedToken { id: 0, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
}

/// Finds a fixed set of added tokens in a text.
#[derive(Debug)]
pub(super) struct Matcher {
    /// Sorted by the bytes of their contents, of which none is empty.
    tokens: Vec<AddedToken>,
}

impl Matcher {
    /// Tokens with empty contents match nothing and are left out; of equal ones the first counts.
    pub fn new(tokens: impl IntoIterator<Item = AddedToken>) -> Self {
        let mut tokens: Vec<_> = tokens.into_iter().filter(|t| !t.content.is_empty()).collect();
        tokens.sort_by(|a, b| a.content.cmp(&b.content));
        Self { tokens }
    }

    /// Whether a token may have white space in it or around it.
    pub fn takes_white_space(&self) -> bool {
        self.tokens.iter().any(|t| t.lstrip || t.rstrip || t.content.contains(char::is_whitespace))
    }

    /// The longest token that `text` begins with, in a time that does not grow with the number of tokens: those that
    /// share the bytes seen so far are neighbours, the shortest first.
    fn longest(&self, text: &[u8]) -> Option<&AddedToken> {
        let (mut rest, mut best) = (self.tokens.as_slice(), None);
        for (depth, byte) in text.iter().enumerate() {
            let at = |t: &AddedToken| t.content.as_bytes().get(depth).copied();
            rest = &rest[rest.partition_point(|t| at(t) < Some(*byte))..];
            rest = &rest[..rest.partition_point(|t| at(t) == Some(*byte))];
            let Some(first) = rest.first() else { break };
            if first.content.len() == depth + 1 {
                best = Some(first);
            }
        }
        best
    }

    #[cfg(feature = "unigram")]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The text around a place in which a token can reach it.
    #[cfg(feature = "unigram")]
    pub fn around(&self, text: &str, at: usize) -> Range<usize> {
        let longest = self.tokens.iter().map(|t| t.content.len()).max().unwrap_or(0);
        let start = text.floor_char_boundary(at.saturating_sub(longest));
        start..text.ceil_char_boundary(at.saturating_add(longest).min(text.len()))
    }

    /// Whether a token may reach over a place in the text, or begin or end there.
    #[cfg(feature = "unigram")]
    pub fn touches(&self, text: &str, at: usize) -> bool {
        let around = self.around(text, at);
        let ends = |start: usize| self.longest(&text.as_bytes()[start..around.end]).map(|t| start + t.content.len());
        (around.start..=at).any(|start| ends(start).is_some_and(|end| end >= at))
    }

    /// The text cut into added tokens, already tokenized, and what lies between them.
    pub fn split(&self, text: NormalizedString) -> Vec<(NormalizedString, Option<Vec<Token>>)> {
        let mut pieces = Vec::new();
        let mut from = 0;
        for (range, token) in self.find(text.get()) {
            pieces.extend(slice(&text, from..range.start).map(|s| (s, None)));
            from = range.end;
            pieces.extend(slice(&text, range).map(|s| {
                let token = Token::new(token.id, s.get().to_owned(), (0, s.len()));
                (s, Some(vec![token]))
            }));
        }
        if from == 0 {
            return vec![(text, None)];
        }
        pieces.extend(slice(&text, from..text.len()).map(|s| (s, None)));
        pieces
    }

    /// Matches in order, not overlapping, widened over white space where the token strips it.
    fn find(&self, text: &str) -> Vec<(Range<usize>, &AddedToken)> {
        let mut found = Vec::new();
        let (mut at, mut from) = (0, 0);
        while at < text.len() {
            // Contents are valid UTF-8, so a match can only begin and end on a boundary.
            let Some(token) = self.longest(&text.as_bytes()[at..]) else {
                at += 1;
                continue;
            };
            let mut range = at..at + token.content.len();
            at = range.end;
            let (before, after) = (&text[..range.start], &text[range.end..]);
            if token.single_word && (before.ends_with(is_word) || after.starts_with(is_word)) {
                continue;
            }
            if token.lstrip {
                range.start = before.trim_end().len().max(from);
            }
            if token.rstrip {
                range.end = text.len() - after.trim_start().len();
                at = range.end;
            }
            from = range.end;
            found.push((range, token));
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn slice(text: &NormalizedString, range: Range<usize>) -> Option<NormalizedString> {
    if range.is_empty() { None } else { text.slice(Referential::Normalized(range)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, content: &str) -> AddedToken {
        AddedToken { id, ..plain(content) }
    }

    /// Each position was once compared with every token of the same first byte.
    #[test]
    fn many_tokens_take_no_longer() {
        let many = (0..30_000).map(|i| token(i, &format!("{}{i}", "a".repeat(8))));
        let begun = std::time::Instant::now();
        assert!(Matcher::new(many).find(&"a".repeat(300_000)).is_empty());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    fn check(tokens: Vec<AddedToken>, text: &str, want: &[(&str, Option<u32>)]) {
        let pieces = Matcher::new(tokens).split(text.into());
        let got: Vec<_> = pieces.iter().map(|(s, t)| (s.get(), t.as_ref().map(|t| t[0].id))).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn longest_of_the_leftmost_and_white_space() {
        check(vec![token(1, "ab"), token(2, "abc")], "xabcab", &[("x", None), ("abc", Some(2)), ("ab", Some(1))]);
        let nested = ["a", "abcd", "b", "bcd"].map(|t| token(t.len() as u32, t));
        check(nested.to_vec(), "abcx", &[("a", Some(1)), ("b", Some(1)), ("cx", None)]);
        check(vec![token(7, "a"), token(8, "a")], "a", &[("a", Some(7))]);
        check(vec![token(1, "é")], "né漢é", &[("n", None), ("é", Some(1)), ("漢", None), ("é", Some(1))]);
        check(vec![token(1, "")], "a", &[("a", None)]);
        let strip = AddedToken { lstrip: true, rstrip: true, ..token(1, "<m>") };
        check(vec![strip], "a  <m> <m>\tb", &[("a", None), ("  <m> ", Some(1)), ("<m>\t", Some(1)), ("b", None)]);
        let word = AddedToken { single_word: true, ..token(1, "the") };
        check(vec![word], "other the", &[("other ", None), ("the", Some(1))]);
    }
}
