//! The BERT tokenizer: normaliser, pre-tokenizer and WordPiece of Hugging Face `tokenizers`, driven part by part.
//!
//! The crate's own `Tokenizer` is not used: it would link every model and normaliser it knows, its files carry a
//! truncation and padding that windows must not inherit, and it checks little of what it reads.

use std::collections::HashMap;
use std::ops::Range;

use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::tokenizer::pre_tokenizer::{OffsetType, PreTokenizedString};
use tokenizers::{NormalizedString, Normalizer, PreTokenizer};

use super::added::Matcher;
use super::decode::Joining;
use super::files::{Parts, TokenizerFiles};
use super::model::Model;
use super::template::Template;
#[cfg(feature = "unigram")]
use super::unigram::Stream;
use super::wordpiece::WordPiece;
use crate::error::clip;
use crate::{Error, Result};

/// The ids of the tokens that BERT puts around texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `[CLS]`: first in every sequence.
    pub cls: u32,
    /// `[SEP]`: ends each text of a sequence.
    pub sep: u32,
    /// `[PAD]`.
    pub pad: u32,
    /// `[UNK]`: a word that the vocabulary cannot spell.
    pub unk: u32,
    /// `[MASK]`, where the vocabulary has it.
    pub mask: Option<u32>,
}

/// One text as tokens, without special tokens around it. The three lists are equally long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, each below the vocabulary size.
    pub ids: Vec<u32>,
    /// The bytes of the text that each token stands for.
    pub offsets: Vec<Range<usize>>,
    /// The word each token belongs to: runs of text between white space and punctuation, counted from 0.
    /// Never decreases.
    pub words: Vec<u32>,
}

impl Encoding {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the text has no tokens at all: empty, or nothing but white space and control characters.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Keeps the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.ids.truncate(len);
        self.offsets.truncate(len);
        self.words.truncate(len);
    }
}

/// What the encoder reads: one sequence with its special tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids `[S]`.
    pub ids: Vec<u32>,
    /// Token types `[S]`: 0 for the first text with its `[CLS]` and `[SEP]`, 1 for the second with its `[SEP]`.
    pub types: Vec<u32>,
}

/// A BERT (WordPiece) tokenizer. Gives the ids and offsets of transformers' `BertTokenizerFast`.
pub struct Tokenizer {
    /// The file it came from, for messages.
    file: String,
    /// Added tokens looked for before and after normalisation.
    raw: Matcher,
    normalized: Matcher,
    /// Whether no token reaches over white space, so that a text may be cut there.
    can_cut: bool,
    model: Model,
    template: Template,
    special: SpecialTokens,
    model_max_length: Option<usize>,
    pub(super) joining: Joining,
    /// The added tokens by id, and the ids of those that a decoded text may go without, sorted.
    added: HashMap<u32, String>,
    specials: Vec<u32>,
}

impl Tokenizer {
    /// Loads the tokenizer of a Hugging Face model directory: `tokenizer.json` if there is one, its truncation and
    /// padding ignored, else `vocab.txt`; in both cases `tokenizer_config.json` has its say about casing.
    ///
    /// `vocab_size` is the model's: every id must be below it.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Tokenizer`] if one is malformed, too large or does not fit the
    /// model; [`Error::Unsupported`] if it is not a BERT tokenizer.
    #[cfg(feature = "native")]
    pub fn load(dir: &std::path::Path, vocab_size: usize) -> Result<Self> {
        let files = super::files::read(dir)?;
        Self::from_files(&files.borrow(), vocab_size).map_err(|error| match error {
            Error::Tokenizer { file, problem, mend } => {
                Error::Tokenizer { file: dir.join(file).display().to_string(), problem, mend }
            }
            other => other,
        })
    }

    /// Builds the tokenizer from the same files already in memory.
    ///
    /// # Errors
    /// As [`load`](Self::load), without [`Error::Io`].
    pub fn from_files(files: &TokenizerFiles<'_>, vocab_size: usize) -> Result<Self> {
        Self::from_parts(Parts::read(files)?, vocab_size)
    }

    fn from_parts(parts: Parts, vocab_size: usize) -> Result<Self> {
        let Parts { file, model, mut added, names, .. } = parts;
        let broken = |problem: String, mend: &str| Error::Tokenizer { file: file.clone(), problem, mend: mend.into() };
        for token in &mut added {
            // As in Hugging Face tokenizers, the vocabulary's id is the one that counts.
            token.id = model.id(&token.content).unwrap_or(token.id);
        }
        let all = model.last().into_iter().chain(added.iter().map(|t| (t.content.as_str(), t.id)));
        if let Some((token, id)) = all.max_by_key(|(_, id)| *id).filter(|(_, id)| *id as usize >= vocab_size) {
            return Err(broken(
                format!("token {:?} has id {id}, but the model's vocab_size is {vocab_size}", clip(token)),
                "Use the tokenizer that belongs to this checkpoint",
            ));
        }
        let contents: HashMap<_, _> = added.iter().map(|t| (t.content.as_str(), t.id)).collect();
        let find = |name: &str| model.id(name).or_else(|| contents.get(name).copied());
        let need = |name: &str| {
            let mend =
                "A BERT vocabulary has [CLS], [SEP], [PAD] and [UNK]: use the one that belongs to this checkpoint";
            find(name).ok_or_else(|| broken(format!("the vocabulary has no {}", clip(name)), mend))
        };
        let special = SpecialTokens {
            cls: need(&names.cls)?,
            sep: need(&names.sep)?,
            pad: need(&names.pad)?,
            unk: need(&names.unk)?,
            mask: find(&names.mask),
        };
        let joining = Joining { decoder: parts.decoder, text_is_cleaned: parts.text_is_cleaned };
        let template = parts.template.unwrap_or_else(|| Template::bert(special));
        if template.last().is_some_and(|id| id as usize >= vocab_size) {
            let problem = format!("the post_processor has ids over the model's vocab_size, {vocab_size}");
            return Err(broken(problem, "Use the tokenizer that belongs to this checkpoint"));
        }
        let unk = model.unk().to_owned();
        let Some(model) = model.build() else {
            // The model looks for it there alone.
            let problem = format!("{} is an added token and not in the vocabulary", clip(&unk));
            return Err(broken(problem, "Add it to the vocabulary"));
        };
        let mut specials: Vec<u32> = added.iter().filter(|t| t.special).map(|t| t.id).collect();
        specials.sort_unstable();
        let by_id = added.iter().map(|t| (t.id, t.content.clone())).collect();
        let (mut normalized, raw): (Vec<_>, Vec<_>) = added.into_iter().partition(|t| t.normalized);
        let failed = |e| broken(format!("an added token cannot be normalised: {e}"), "Remove it");
        for token in &mut normalized {
            let mut content = NormalizedString::from(token.content.as_str());
            model.normalize(&mut content).map_err(failed)?;
            token.content = content.get().to_owned();
        }
        let (raw, normalized) = (Matcher::new(raw), Matcher::new(normalized));
        let can_cut = ![&raw, &normalized].iter().any(|matcher| matcher.takes_white_space());
        let model_max_length = parts.model_max_length;
        Ok(Self {
            file,
            raw,
            normalized,
            can_cut,
            model,
            template,
            special,
            model_max_length,
            joining,
            added: by_id,
            specials,
        })
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// `model_max_length` of tokenizer_config.json: the longest sequence the tokenizer's author meant it for.
    pub fn model_max_length(&self) -> Option<usize> {
        self.model_max_length
    }

    /// The id of a token, if there is such a one.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        let added = || self.added.iter().find(|(_, content)| *content == token).map(|(id, _)| *id);
        self.model.token_to_id(token).or_else(added)
    }

    /// The token with this id, if there is one.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.added.get(&id).cloned().or_else(|| self.model.id_to_token(id).map(str::to_owned))
    }

    /// Whether this is one of the tokens that are no part of a text: `[CLS]`, `[SEP]`, `[PAD]`, `[UNK]`, `[MASK]` and
    /// what else the files call special.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.binary_search(&id).is_ok()
    }

    /// The longest sequence for a model of so many positions: no more than the tokenizer's author meant it for.
    pub fn max_len(&self, positions: usize) -> usize {
        self.model_max_length.map_or(positions, |most| most.min(positions))
    }

    /// Tokenizes one text, without special tokens around it. Special tokens that the text itself spells out, such as
    /// a literal `[SEP]`, become those tokens, as they do in Hugging Face tokenizers.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizers crate refuses the text; no text is known that it refuses.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        let mut encoder = self.encoder(text);
        while encoder.step()? {}
        Ok(encoder.finish())
    }

    /// The same piece by piece, for who has other things to do in between.
    pub fn encoder<'a>(&'a self, text: &'a str) -> Encoder<'a> {
        Encoder {
            tokenizer: self,
            rest: text,
            piece: PIECE,
            done: 0,
            encoding: Encoding::default(),
            #[cfg(feature = "unigram")]
            stream: Stream::default(),
        }
    }

    /// The first `most` tokens of a text, in memory that grows with them and not with the text.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_first(&self, text: &str, most: usize) -> Result<Encoding> {
        #[cfg(feature = "unigram")]
        if let Model::Unigram(_) = self.model {
            let mut encoder = self.encoder(text);
            while encoder.step()? && encoder.stream.encoding().len() < most {}
            let mut encoding = encoder.finish();
            encoding.truncate(most);
            return Ok(encoding);
        }
        // Where the text is cut, the last word may go on, and an added token may have become several.
        const DOUBTFUL: usize = 32;
        let sure = most.saturating_add(DOUBTFUL);
        let mut length = sure.saturating_mul(32);
        while length < text.len() {
            let end = (length..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            let mut encoding = self.encode(&text[..end])?;
            let last = encoding.words.last().copied();
            let whole = encoding.words.iter().take_while(|word| Some(**word) != last).count();
            if whole >= sure {
                encoding.truncate(most);
                return Ok(encoding);
            }
            length = length.saturating_mul(4);
        }
        let mut encoding = self.encode(text)?;
        encoding.truncate(most);
        Ok(encoding)
    }

    fn tokens(&self, model: &WordPiece, text: &str) -> tokenizers::Result<tokenizers::Encoding> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, piece| Ok(self.raw.split(piece)))?;
        pieces.split(|_, mut piece| {
            model.normalizer.normalize(&mut piece)?;
            Ok(self.normalized.split(piece))
        })?;
        BertPreTokenizer.pre_tokenize(&mut pieces)?;
        pieces.tokenize(|word| Ok(model.tokenize(word.get())))?;
        pieces.into_encoding(None, 0, OffsetType::Byte)
    }

    /// A text with the special tokens around it: `[CLS] a [SEP]` for BERT.
    pub fn single(&self, a: &[u32]) -> Sequence {
        self.template.single(a)
    }

    /// Two texts with the special tokens around them: `[CLS] a [SEP] b [SEP]` for BERT, `<s> a </s></s> b </s>` for XLM-R.
    pub fn pair(&self, a: &[u32], b: &[u32]) -> Sequence {
        self.template.pair(a, b)
    }

    /// Whether a piece that continues a word is marked as such: `##` of WordPiece.
    pub fn marks_pieces(&self) -> bool {
        matches!(self.model, Model::WordPiece(_))
    }

    /// How many special tokens [`single`](Self::single) or [`pair`](Self::pair) adds.
    pub fn special_count(&self, is_pair: bool) -> usize {
        self.template.count(is_pair)
    }

    /// How many of them stand before the first text.
    pub fn before_text(&self, is_pair: bool) -> usize {
        self.template.before(is_pair)
    }

    /// Where the second of two texts begins, if the first has so many tokens.
    pub fn second_start(&self, first: usize) -> usize {
        self.template.before(true) + first + self.template.between()
    }
}

/// Bytes of a text that are tokenized at once, about: some milliseconds.
const PIECE: usize = 16 << 10;

/// A text that is being tokenized.
#[derive(Debug)]
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    rest: &'a str,
    piece: usize,
    /// Bytes before `rest`.
    done: usize,
    encoding: Encoding,
    #[cfg(feature = "unigram")]
    stream: Stream,
}

impl Encoder<'_> {
    /// Tokenizes the next piece, and says whether there is more.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn step(&mut self) -> Result<bool> {
        match &self.tokenizer.model {
            Model::WordPiece(model) => self.step_by_words(model),
            #[cfg(feature = "unigram")]
            Model::Unigram(model) => {
                let added = [&self.tokenizer.raw, &self.tokenizer.normalized];
                model.step(&mut self.stream, self.rest, self.piece, added).map_err(|problem| Error::Tokenizer {
                    file: self.tokenizer.file.clone(),
                    problem,
                    mend: "Leave it out of the text, or use a tokenizer with an unknown token".into(),
                })
            }
        }
    }

    fn step_by_words(&mut self, model: &WordPiece) -> Result<bool> {
        let (piece, rest) = self.rest.split_at(self.cut());
        let encoding = self.tokenizer.tokens(model, piece).map_err(|e| Error::Tokenizer {
            file: self.tokenizer.file.clone(),
            problem: format!("the text cannot be tokenized: {e}"),
            mend: "Report the text as a bug".into(),
        })?;
        let Encoding { ids, offsets, words } = &mut self.encoding;
        let word = words.last().map_or(0, |last| last + 1);
        ids.extend(encoding.get_ids());
        offsets.extend(encoding.get_offsets().iter().map(|&(start, end)| self.done + start..self.done + end));
        // Every token is given a word: none of them comes from a post-processor.
        words.extend(encoding.get_word_ids().iter().map(|w| word + w.unwrap_or_default()));
        self.done += piece.len();
        self.rest = rest;
        Ok(!rest.is_empty())
    }

    /// Tokenizes about so many bytes in each step. The tokens are the same.
    pub fn in_pieces(mut self, bytes: usize) -> Self {
        self.piece = bytes.max(1);
        self
    }

    /// The whole text's tokens, once nothing is left.
    pub fn finish(self) -> Encoding {
        #[cfg(feature = "unigram")]
        if let Model::Unigram(_) = self.tokenizer.model {
            return self.stream.finish();
        }
        self.encoding
    }

    /// The end of the next piece: after white space, which no token reaches over.
    fn cut(&self) -> usize {
        let bytes = self.rest.as_bytes();
        if bytes.len() <= self.piece || !self.tokenizer.can_cut {
            return bytes.len();
        }
        let (head, tail) = bytes.split_at(self.piece);
        let last = head.iter().rposition(u8::is_ascii_whitespace);
        let at = last.or_else(|| Some(self.piece + tail.iter().position(u8::is_ascii_whitespace)?));
        at.map_or(bytes.len(), |at| at + 1)
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("file", &self.file).field("special", &self.special).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_pieces_has_the_tokens_of_the_whole() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let tokenizer = Tokenizer::load(&root.join("models/minilm-l6-qa"), 30_522).unwrap();
        assert!(tokenizer.can_cut);
        let encoded = |text: &str, piece: usize| {
            let mut encoder = Encoder { piece, ..tokenizer.encoder(text) };
            let mut steps = 1;
            while encoder.step().unwrap() {
                steps += 1;
            }
            (encoder.finish(), steps)
        };
        let answers = std::fs::read_to_string(root.join("tests/fixtures/answers/answers.json")).unwrap();
        let answers: serde_json::Value = serde_json::from_str(&answers).unwrap();
        let mut texts: Vec<String> =
            answers["contexts"].as_object().unwrap().values().map(|c| c.as_str().unwrap().to_owned()).collect();
        texts.push("e \u{301}x\n\u{308}[MASK] \t[SEP]\r\n\u{a0}#\u{3000}漢\u{feff} ﬁ ".repeat(20));
        texts.push("no_white_space_at_all,".repeat(20));
        texts.push(String::new());
        for text in &texts {
            let (whole, one) = encoded(text, usize::MAX);
            assert_eq!(one, 1);
            for piece in [1, 7, 100] {
                let (pieces, steps) = encoded(text, piece);
                assert_eq!(pieces, whole, "{text:?} by {piece}");
                assert!(steps > 1 || text.len() <= piece || !text.contains([' ', '\n']), "{text:?} by {piece}");
            }
        }
    }
}
