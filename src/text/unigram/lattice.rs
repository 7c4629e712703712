//! Finds the best way to cut a word into pieces while the word arrives.
//!
//! Scores are added in the order of the `tokenizers` crate, so ties and rounding have the same results. A word can be
//! very long, such as a page of Chinese. Tokens that no later character can change are emitted at once, so memory does
//! not grow with the word.

use std::collections::BTreeSet;
use std::ops::Range;

use super::vocabulary::Vocabulary;

/// The cost of a character that is in no piece, below the worst score.
const PENALTY: f64 = 10.0;

/// The bytes of a word after which decided tokens are searched for.
const SOME: usize = 4096;

/// The data for turning pieces into ids.
pub(super) struct Model {
    pub vocabulary: Vocabulary,
    pub unk: Option<u32>,
    /// Whether a character that is in no piece becomes the pieces `<0x00>` to `<0xFF>`.
    pub byte_fallback: bool,
}

/// A character that is in no piece, in a vocabulary without an unknown token.
pub(super) struct Unknown(pub char);

/// A place between two characters.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The score of the best way to this place.
    score: f64,
    /// The start of the last piece of that way, or [`NOWHERE`].
    start: u32,
    id: u32,
}

/// The start if there is no way to a place yet.
const NOWHERE: u32 = u32::MAX;

impl Default for Place {
    fn default() -> Self {
        Self { score: 0.0, start: NOWHERE, id: 0 }
    }
}

/// A word in progress: its text, and for each byte the range of the original that it comes from.
#[derive(Debug, Default)]
pub(super) struct Word {
    text: String,
    origin: Vec<(usize, usize)>,
    places: Vec<Place>,
    /// The number of bytes from which pieces were searched for.
    done: usize,
}

/// Tokens with their bytes.
pub(super) type Tokens = Vec<(u32, Range<usize>)>;

impl Word {
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn push(&mut self, c: char, origin: (usize, usize)) {
        self.text.push(c);
        self.origin.resize(self.text.len(), origin);
    }

    /// Emits the tokens that no further text can change.
    pub fn advance(&mut self, model: &Model, tokens: &mut Tokens) -> Result<(), Unknown> {
        let end = self.text.len().saturating_sub(model.vocabulary.longest().max(4));
        // If nothing is decided, the search becomes rarer and rarer, so that the time stays linear.
        if end < self.done + SOME.max(self.done / 2) {
            return Ok(());
        }
        self.forward(model, end)?;
        let mut decided = self.decided();
        // Unknown characters beside each other are one token, so the last one may continue.
        while let Some((start, _)) = self.last_piece(decided).filter(|(_, id)| Some(*id) == model.unk) {
            decided = start;
        }
        self.backward(model, decided, tokens);
        self.text.drain(..decided);
        self.origin.drain(..decided);
        self.places.drain(..decided);
        for place in &mut self.places {
            // A piece that begins earlier is on no remaining way.
            place.start = place.start.checked_sub(decided as u32).filter(|_| place.start != NOWHERE).unwrap_or(NOWHERE);
        }
        self.done -= decided;
        Ok(())
    }

    /// Emits the tokens of the rest. Then the word is empty.
    pub fn finish(&mut self, model: &Model, tokens: &mut Tokens) -> Result<(), Unknown> {
        self.forward(model, self.text.len())?;
        self.backward(model, self.text.len(), tokens);
        self.text.clear();
        self.origin.clear();
        self.places.clear();
        self.done = 0;
        Ok(())
    }

    /// Searches for pieces from every character before `end`.
    fn forward(&mut self, model: &Model, end: usize) -> Result<(), Unknown> {
        let Model { vocabulary, unk, .. } = model;
        self.places.resize(self.text.len() + 1, Place::default());
        let unknown_score = vocabulary.least_score() - PENALTY;
        while self.done < end {
            let start = self.done;
            let Some(c) = self.text[start..].chars().next() else { break };
            let score = self.places[start].score;
            let places = &mut self.places;
            let mut reach = |len: usize, id: u32, score: f64| {
                let place = &mut places[start + len];
                let is_better = place.start == NOWHERE || score > place.score;
                if is_better {
                    *place = Place { score, start: start as u32, id };
                }
                is_better
            };
            let mut has_single = false;
            vocabulary.prefixes(&self.text.as_bytes()[start..], |len, id| {
                reach(len, id, vocabulary.score(id) + score);
                has_single |= len == c.len_utf8();
            });
            if !has_single && reach(c.len_utf8(), unk.unwrap_or_default(), unknown_score + score) && unk.is_none() {
                return Err(Unknown(c));
            }
            self.done += c.len_utf8();
        }
        Ok(())
    }

    /// The start of the last piece on the best way to a place, and its id; `None` at the beginning.
    fn last_piece(&self, place: usize) -> Option<(usize, u32)> {
        let Place { start, id, .. } = *self.places.get(place)?;
        (start != NOWHERE).then_some((start as usize, id))
    }

    /// The last place that is on every way that may still be the best.
    fn decided(&self) -> usize {
        let ahead = (self.done + 1..self.places.len()).filter(|place| self.last_piece(*place).is_some());
        let mut open: BTreeSet<usize> = ahead.chain([self.done]).collect();
        while open.len() > 1 {
            let Some(last) = open.pop_last() else { break };
            open.extend(self.last_piece(last).map(|(start, _)| start));
        }
        open.first().copied().unwrap_or_default()
    }

    /// Emits the tokens of the best way to `end`, in order.
    fn backward(&self, model: &Model, end: usize, tokens: &mut Tokens) {
        let (first, mut at) = (tokens.len(), end);
        while let Some((mut start, id)) = self.last_piece(at) {
            if Some(id) == model.unk {
                while let Some((before, _)) = self.last_piece(start).filter(|(_, id)| Some(*id) == model.unk) {
                    start = before;
                }
                self.unknown(model, start..at, tokens);
            } else {
                tokens.push((id, self.origin(start..at)));
            }
            at = start;
        }
        tokens[first..].reverse();
    }

    /// Emits the tokens, last first, of characters that are in no piece.
    fn unknown(&self, model: &Model, bytes: Range<usize>, tokens: &mut Tokens) {
        let (text, origin) = (&self.text[bytes.clone()], self.origin(bytes));
        if let Some(id) = model.vocabulary.id(text) {
            tokens.push((id, origin));
            return;
        }
        if model.byte_fallback {
            let ids = text.bytes().rev().map(|byte| model.vocabulary.id(&format!("<0x{byte:02X}>")));
            if let Some(ids) = ids.collect::<Option<Vec<u32>>>() {
                tokens.extend(ids.into_iter().map(|id| (id, origin.clone())));
                return;
            }
        }
        tokens.push((model.unk.unwrap_or_default(), origin));
    }

    fn origin(&self, bytes: Range<usize>) -> Range<usize> {
        let at = |byte: usize| self.origin.get(byte).copied().unwrap_or_default();
        at(bytes.start).0..at(bytes.end.saturating_sub(1)).1
    }
}
