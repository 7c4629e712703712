//! Finds added tokens in a text that arrives in pieces.
//!
//! The rules are those of Hugging Face tokenizers: the leftmost match, and the longest of those. The time is linear in the text for any set of
//! tokens, because it looks again only at as many bytes as the longest token has, and once at white space.

use std::ops::Range;

use super::unicode::Category;

/// A token to find.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern {
    pub id: u32,
    pub content: String,
    /// Matches only if no word character is beside it.
    pub single_word: bool,
    /// Includes the white space before it, or after it.
    pub lstrip: bool,
    pub rstrip: bool,
    /// The match is left to the model as text; no other token is found in its place.
    pub is_text: bool,
}

/// A fixed set of patterns.
#[derive(Debug)]
pub(super) struct Matcher {
    /// Sorted by the bytes of their contents. No content is empty.
    patterns: Vec<Pattern>,
    /// Whether a pattern begins with this byte.
    begins: [bool; 256],
    /// The length of the longest pattern, in bytes.
    longest: usize,
    lstrip: bool,
}

/// The position of a [`Matcher`] in a text.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The next place to look for a match.
    at: usize,
    /// The end of the last match.
    from: usize,
    /// The text before this place was already returned.
    pub given: usize,
    /// From here up to `at` there is only white space.
    solid: usize,
    /// The end of the last white space that a token included after it.
    run: usize,
    found: Option<(Range<usize>, u32)>,
    /// The character before the text, if its beginning was dropped.
    before: Option<char>,
}

/// The next part of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// Text that is not an added token. The next part may continue it.
    Text(Range<usize>),
    Token(Range<usize>, u32),
}

impl Scan {
    /// Returns the number of bytes at the front of the text that are no longer needed. Continue with the text without
    /// them.
    pub fn drop_front(&mut self, text: &str) -> usize {
        let done = floor(text, self.at.min(self.given));
        self.before = text[..done].chars().next_back().or(self.before);
        for at in [&mut self.at, &mut self.from, &mut self.given, &mut self.solid, &mut self.run] {
            *at = at.saturating_sub(done);
        }
        done
    }
}

impl Matcher {
    /// Drops patterns with empty contents, which match nothing. Of equal patterns, the first one is kept.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().filter(|p| !p.content.is_empty()).collect();
        patterns.sort_by(|a, b| a.content.cmp(&b.content));
        let mut begins = [false; 256];
        patterns.iter().filter_map(|p| p.content.bytes().next()).for_each(|byte| begins[usize::from(byte)] = true);
        let longest = patterns.iter().map(|p| p.content.len()).max().unwrap_or_default();
        let lstrip = patterns.iter().any(|p| p.lstrip);
        Self { patterns, begins, longest, lstrip }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The text around a place within which a token can reach it.
    #[cfg(feature = "unigram")]
    pub fn around(&self, text: &str, at: usize) -> Range<usize> {
        let start = text.floor_char_boundary(at.saturating_sub(self.longest));
        start..text.ceil_char_boundary(at.saturating_add(self.longest).min(text.len()))
    }

    /// Whether a token may span this place in the text, or begin or end there.
    #[cfg(feature = "unigram")]
    pub fn touches(&self, text: &str, at: usize) -> bool {
        let around = self.around(text, at);
        let ends = |start: usize| self.longest(&text.as_bytes()[start..around.end]).map(|p| start + p.content.len());
        (around.start..=at).any(|start| ends(start).is_some_and(|end| end >= at))
    }

    /// Splits a text into added tokens and the text between them.
    #[cfg(feature = "unigram")]
    pub fn split(&self, text: tokenizers::NormalizedString) -> Vec<(tokenizers::NormalizedString, Option<u32>)> {
        use tokenizers::normalizer::Range as Referential;
        let mut scan = Scan::default();
        let parts = std::iter::from_fn(|| self.part(text.get(), &mut scan, usize::MAX, true));
        let cut = |part: Part| {
            let (range, id) = match part {
                Part::Text(range) => (range, None),
                Part::Token(range, id) => (range, Some(id)),
            };
            Some((text.slice(Referential::Normalized(range))?, id))
        };
        parts.filter_map(cut).collect()
    }

    /// Returns the next part of `text`, of about `most` bytes or less; `None` at the end of the text. If the text is
    /// not `whole`, it also returns `None` when it needs more of it.
    pub fn part(&self, text: &str, scan: &mut Scan, most: usize, whole: bool) -> Option<Part> {
        // A match and the character after it must be complete.
        let until = if whole { text.len() } else { text.len().saturating_sub(self.longest + 4) };
        loop {
            let mut waits = false;
            if scan.found.is_none() && scan.at < until {
                let before = scan.at;
                waits = !self.find(text, scan, until.min(scan.at.saturating_add(most)), whole);
                let end = floor(text, scan.at);
                let seen = text[floor(text, before)..end].trim_end();
                if !seen.is_empty() {
                    scan.solid = floor(text, before) + seen.len();
                }
            }
            let end = match &scan.found {
                Some((range, _)) => range.start,
                None if whole && scan.at >= text.len() => text.len(),
                // A later token may still include the white space before it.
                None if self.lstrip => scan.solid.min(floor(text, scan.at)),
                None => floor(text, scan.at.min(text.len())),
            };
            if scan.given < end {
                let mut stop = end.min(scan.given.saturating_add(most.max(4)));
                stop = floor(text, stop);
                let range = scan.given..stop;
                scan.given = stop;
                return Some(Part::Text(range));
            }
            if let Some((range, id)) = scan.found.take() {
                scan.given = range.end;
                return Some(Part::Token(range, id));
            }
            if waits || scan.at >= until {
                return None;
            }
        }
    }

    /// Searches for the next match up to `until`. Returns false if a match may begin there, but its length is not known yet.
    fn find(&self, text: &str, scan: &mut Scan, until: usize, whole: bool) -> bool {
        let bytes = text.as_bytes();
        while scan.at < until {
            // Contents are valid UTF-8, so a match can only begin and end on a boundary.
            let start = scan.at;
            let found = if self.begins[usize::from(bytes[start])] { self.longest(&bytes[start..]) } else { None };
            let Some(pattern) = found else {
                scan.at += 1;
                continue;
            };
            let mut range = start..start + pattern.content.len();
            let before = text[..start].chars().next_back().or(scan.before);
            let after = text[range.end..].chars().next();
            if pattern.is_text
                || pattern.single_word && [before, after].into_iter().flatten().any(|c| Category::Word.contains(c))
            {
                scan.at = range.end;
                continue;
            }
            let end = range.end;
            if pattern.rstrip {
                if end >= scan.run {
                    scan.run = text.len() - text[end..].trim_start().len();
                }
                if scan.run == text.len() && !whole {
                    return false;
                }
                range.end = scan.run;
            }
            scan.at = end;
            if pattern.lstrip {
                range.start = match text.get(scan.from..start) {
                    Some(gap) => scan.from + gap.trim_end().len(),
                    None => scan.from,
                };
            }
            // Nothing remains if the token before it has included all its white space.
            if range.start < range.end {
                scan.from = range.end;
                scan.found = Some((range, pattern.id));
                return true;
            }
        }
        true
    }

    /// The longest pattern that `text` begins with. The time does not grow with the number of patterns: patterns that share the bytes read so far are
    /// neighbours, with the shortest first.
    fn longest(&self, text: &[u8]) -> Option<&Pattern> {
        let (mut rest, mut best) = (self.patterns.as_slice(), None);
        for (depth, byte) in text.iter().enumerate() {
            let at = |p: &Pattern| p.content.as_bytes().get(depth).copied();
            rest = &rest[rest.partition_point(|p| at(p) < Some(*byte))..];
            rest = &rest[..rest.partition_point(|p| at(p) == Some(*byte))];
            let Some(first) = rest.first() else { break };
            if first.content.len() == depth + 1 {
                best = Some(first);
            }
        }
        best
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}
