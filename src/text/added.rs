//! Added tokens, such as `[SEP]`, which are found in the text before the model reads it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use super::matcher::{Matcher, Pattern};

/// A token that is matched as a whole, with the options that the files give.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AddedToken {
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    /// If a file does not say, a token is normalized unless it is special.
    pub normalized: Option<bool>,
    /// Special tokens are omitted when a text is decoded without them.
    pub special: bool,
}

impl AddedToken {
    fn is_normalized(&self) -> bool {
        self.normalized.unwrap_or(!self.special)
    }

    /// Two tokens with the same key count as equal.
    pub fn key(&self) -> (&str, u8) {
        let flags = [self.single_word, self.lstrip, self.rstrip, self.is_normalized(), self.special];
        (&self.content, flags.into_iter().fold(0, |sum, flag| sum << 1 | u8::from(flag)))
    }
}

/// The added tokens of a tokenizer. The rules for a token that is added twice are those of Hugging Face tokenizers: it keeps its first id and has its last
/// flags. If it was added both as normalized and not normalized, it is searched for both before and after normalization.
#[derive(Debug, Default)]
pub(super) struct AddedTokens {
    ids: HashMap<String, u32>,
    by_id: BTreeMap<u32, AddedToken>,
    specials: Vec<AddedToken>,
    others: Vec<AddedToken>,
    special_contents: HashSet<String>,
}

impl AddedTokens {
    /// Adds tokens. A token's id comes from the vocabulary (`in_vocabulary`, with `size` tokens), or else it is the next free one. Files give ids too, but
    /// Hugging Face tokenizers ignores them.
    pub fn add(&mut self, tokens: Vec<AddedToken>, in_vocabulary: impl Fn(&str) -> Option<u32>, size: u32) {
        for token in tokens.iter().filter(|token| token.special && !token.content.is_empty()) {
            if self.special_contents.insert(token.content.clone()) {
                self.specials.push(token.clone());
            }
        }
        for token in tokens {
            let content = &token.content;
            if content.is_empty() || self.has(&token) {
                continue;
            }
            let next = || self.by_id.last_key_value().map_or(size, |(last, _)| last.saturating_add(1).max(size));
            let id = self.id(content).or_else(|| in_vocabulary(content)).unwrap_or_else(next);
            self.ids.insert(content.clone(), id);
            if !self.special_contents.contains(content) {
                self.others.push(token.clone());
            }
            self.by_id.insert(id, token);
        }
    }

    pub fn id(&self, content: &str) -> Option<u32> {
        self.ids.get(content).copied()
    }

    pub fn contents(&self) -> impl Iterator<Item = (&str, u32)> {
        self.ids.iter().map(|(content, id)| (content.as_str(), *id))
    }

    pub fn has(&self, token: &AddedToken) -> bool {
        self.id(&token.content).and_then(|id| self.by_id.get(&id)).is_some_and(|known| known.key() == token.key())
    }

    pub fn content(&self, id: u32) -> Option<&str> {
        self.by_id.get(&id).map(|token| token.content.as_str())
    }

    /// The ids of special tokens, sorted.
    pub fn special_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.special_contents.iter().filter_map(|content| self.id(content)).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the matcher for the original text and the one for normalized text. `normalize` normalizes a token's content. With `split_special`, special
    /// tokens in a text are ordinary text.
    ///
    /// # Errors
    /// The errors of `normalize`.
    pub fn matchers<E>(&self, split_special: bool, normalize: impl Fn(&str) -> Result<String, E>) -> Result<Added, E> {
        let mut patterns = [Vec::new(), Vec::new()];
        for token in self.specials.iter().chain(&self.others) {
            let Some((id, flags)) = self.id(&token.content).and_then(|id| Some((id, self.by_id.get(&id)?))) else {
                continue;
            };
            let normalized = token.is_normalized();
            let content = if normalized { normalize(&token.content)? } else { token.content.clone() };
            patterns[usize::from(normalized)].push(Pattern {
                id,
                content,
                single_word: flags.single_word,
                lstrip: flags.lstrip,
                rstrip: flags.rstrip,
                is_text: split_special && self.special_contents.contains(&flags.content),
            });
        }
        let [raw, normalized] = patterns.map(Matcher::new);
        Ok(Added { raw, normalized })
    }
}

/// The matchers for the original text and for the normalized text between its matches.
#[derive(Debug)]
pub(super) struct Added {
    pub raw: Matcher,
    pub normalized: Matcher,
}

#[cfg(test)]
mod tests {
    use super::super::matcher::Part;
    use super::*;

    fn token(content: &str, special: bool) -> AddedToken {
        AddedToken { content: content.into(), special, ..AddedToken::default() }
    }

    #[test]
    fn ids_go_on_from_the_vocabulary_and_the_last_flags_count() {
        let mut added = AddedTokens::default();
        let known = |content: &str| (content == "[A]").then_some(3);
        added.add(vec![token("[A]", true), token("b", false), token("", false), token("c", false)], known, 10);
        added.add(vec![AddedToken { lstrip: true, ..token("b", true) }], known, 10);
        assert_eq!((added.id("[A]"), added.id("b"), added.id("c"), added.id("")), (Some(3), Some(10), Some(11), None));
        assert_eq!(added.special_ids(), [3, 10]);
        assert!(added.has(&AddedToken { lstrip: true, ..token("b", true) }) && !added.has(&token("b", false)));
        let found = added.matchers(false, |content| Ok::<_, ()>(content.to_uppercase())).unwrap();
        // As a special token, it is searched for in the original text; as it was first added, also in normalized text.
        let pieces = |matcher: &Matcher, text: &str| {
            let mut scan = Default::default();
            std::iter::from_fn(|| matcher.part(text, &mut scan, 100, true)).collect::<Vec<_>>()
        };
        assert_eq!(pieces(&found.raw, "x b"), [Part::Text(0..1), Part::Token(1..3, 10)]);
        assert_eq!(pieces(&found.normalized, "x B"), [Part::Text(0..1), Part::Token(1..3, 10)]);
        let found = added.matchers(true, |content| Ok::<_, ()>(content.to_owned())).unwrap();
        assert_eq!(pieces(&found.raw, "x b"), [Part::Text(0..3)]);
    }
}
