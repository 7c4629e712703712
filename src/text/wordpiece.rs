//! WordPiece: the longest piece of the vocabulary that a word begins with, then the longest of the rest, and so on.
//!
//! The `tokenizers` crate has a WordPiece too. It looks up a token by its id in a map that depends on the order of another map,
//! so that of two tokens with one id each run would name another.

use std::collections::HashMap;
use std::sync::Arc;

use tokenizers::Token;
use tokenizers::normalizers::BertNormalizer;

/// What a file says about WordPiece.
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
    /// By id; of tokens with the same id the first by its bytes.
    tokens: Vec<(u32, Arc<str>)>,
    unk: u32,
    /// What a piece inside a word begins with.
    prefix: String,
    max_word_chars: usize,
    pub normalizer: BertNormalizer,
}

impl WordPiece {
    /// `None` if the unknown token is not in the vocabulary.
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

    /// The pieces of a word, or the unknown token for the whole of it.
    pub fn tokenize(&self, word: &str) -> Vec<Token> {
        let unknown = || vec![Token::new(self.unk, String::new(), (0, word.len()))];
        if word.chars().nth(self.max_word_chars).is_some() {
            return unknown();
        }
        let (mut pieces, mut start, mut text) = (Vec::new(), 0, String::new());
        while start < word.len() {
            let rest = &word[start..];
            text.clear();
            text.push_str(if start == 0 { "" } else { &self.prefix });
            let prefix = text.len();
            text.push_str(rest);
            let mut ends = rest.char_indices().rev().map(|(at, c)| at + c.len_utf8());
            let found = ends.find_map(|end| Some((start + end, self.token_to_id(&text[..prefix + end])?)));
            let Some((end, id)) = found else { return unknown() };
            pieces.push(Token::new(id, String::new(), (start, end)));
            start = end;
        }
        pieces
    }
}
