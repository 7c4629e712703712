//! The best way to cut a word into pieces, found while the word comes.
//!
//! Scores are added up in the order of the `tokenizers` crate, so that ties and rounding fall alike. Of a word without an end,
//! such as a page of Chinese, what no later character can change is given away at once: memory does not grow with the word.

use std::collections::BTreeSet;
use std::ops::Range;

use super::vocabulary::Vocabulary;

/// What a character that no piece has costs, below the worst score.
const PENALTY: f64 = 10.0;

/// Bytes of a word after which its decided part is looked for.
const SOME: usize = 4096;

/// What turns pieces into ids.
pub(super) struct Model {
    pub vocabulary: Vocabulary,
    pub unk: Option<u32>,
    /// Whether what no piece has becomes the pieces `<0x00>` to `<0xFF>`.
    pub byte_fallback: bool,
}

/// A character that no piece has, in a vocabulary without an unknown token.
pub(super) struct Unknown(pub char);

/// A place between two characters.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of the best way to here.
    score: f64,
    /// Where the last piece of that way begins, or [`NOWHERE`].
    start: u32,
    id: u32,
}

/// There is no way to a place yet.
const NOWHERE: u32 = u32::MAX;

impl Default for Place {
    fn default() -> Self {
        Self { score: 0.0, start: NOWHERE, id: 0 }
    }
}

/// A word at work: its text, and for each byte of it the bytes of the original that it stands for.
#[derive(Debug, Default)]
pub(super) struct Word {
    text: String,
    origin: Vec<(usize, usize)>,
    places: Vec<Place>,
    /// Bytes from which pieces were looked for.
    done: usize,
}

/// Tokens with the bytes that they stand for.
pub(super) type Tokens = Vec<(u32, Range<usize>)>;

impl Word {
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn push(&mut self, c: char, origin: (usize, usize)) {
        self.text.push(c);
        self.origin.resize(self.text.len(), origin);
    }

    /// The tokens that no more text can change.
    pub fn advance(&mut self, model: &Model, tokens: &mut Tokens) -> Result<(), Unknown> {
        let end = self.text.len().saturating_sub(model.vocabulary.longest().max(4));
        // Less and less often where nothing is decided, so that the time stays linear.
        if end < self.done + SOME.max(self.done / 2) {
            return Ok(());
        }
        self.forward(model, end)?;
        let mut decided = self.decided();
        // Unknown characters beside each other are one token: the last one may go on.
        while let Some((start, _)) = self.last_piece(decided).filter(|(_, id)| Some(*id) == model.unk) {
            decided = start;
        }
        self.backward(model, decided, tokens);
        self.text.drain(..decided);
        self.origin.drain(..decided);
        self.places.drain(..decided);
        for place in &mut self.places {
            // What begins before lies on no way that is left.
            place.start = place.start.checked_sub(decided as u32).filter(|_| place.start != NOWHERE).unwrap_or(NOWHERE);
        }
        self.done -= decided;
        Ok(())
    }

    /// The tokens of the rest. The word is empty then.
    pub fn finish(&mut self, model: &Model, tokens: &mut Tokens) -> Result<(), Unknown> {
        self.forward(model, self.text.len())?;
        self.backward(model, self.text.len(), tokens);
        self.text.clear();
        self.origin.clear();
        self.places.clear();
        self.done = 0;
        Ok(())
    }

    /// Looks for pieces from every character before `end`.
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

    /// Where the last piece of the best way to a place begins, and its id; nothing at the beginning.
    fn last_piece(&self, place: usize) -> Option<(usize, u32)> {
        let Place { start, id, .. } = *self.places.get(place)?;
        (start != NOWHERE).then_some((start as usize, id))
    }

    /// The last place that every way goes through that may yet be the best.
    fn decided(&self) -> usize {
        let ahead = (self.done + 1..self.places.len()).filter(|place| self.last_piece(*place).is_some());
        let mut open: BTreeSet<usize> = ahead.chain([self.done]).collect();
        while open.len() > 1 {
            let Some(last) = open.pop_last() else { break };
            open.extend(self.last_piece(last).map(|(start, _)| start));
        }
        open.first().copied().unwrap_or_default()
    }

    /// The tokens of the best way to `end`, in order.
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

    /// The tokens, last first, of characters that no piece has.
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
