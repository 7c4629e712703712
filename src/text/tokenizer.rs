//! The tokenizer, built from its files.
//!
//! It does not use the `Tokenizer` of Hugging Face's crate. That one links every model and normalizer. It applies the truncation and padding of its
//! files, which windows must not inherit. It checks little of what it reads, and takes 500 bytes for each byte of text.

use super::added::{Added, AddedTokens};
use super::contents::TokenizerFiles;
use super::decode::Joining;
use super::encoding::{Encoding, Sequence, SpecialTokens};
use super::files::Parts;
use super::model::{Model, Stream};
use super::template::Template;
use crate::error::clip;
use crate::{Error, Result};

/// A WordPiece or Unigram tokenizer. It gives the ids and offsets of transformers' `AutoTokenizer`.
pub struct Tokenizer {
    /// The name of its file, for messages.
    file: String,
    model: Model,
    /// The matchers for added tokens.
    found: Added,
    added: AddedTokens,
    /// The ids of tokens that decoding can omit, sorted.
    specials: Vec<u32>,
    special: SpecialTokens,
    template: Template,
    model_max_length: Option<usize>,
    cuts_left: bool,
    /// The number of rows in the model's table, if an added token has an id beyond it.
    rows: Option<u32>,
    pub(super) joining: Joining,
}

impl Tokenizer {
    /// Loads the tokenizer of a Hugging Face model directory as `AutoTokenizer` of transformers 4.57 does. The vocabulary is in `tokenizer.json`, or else in
    /// `vocab.txt`. `tokenizer_config.json`, or `special_tokens_map.json` and `added_tokens.json` of older models, determine the casing
    /// and the added and special
    /// tokens. The truncation and padding in `tokenizer.json` are ignored, except for the side at which long texts are truncated.
    ///
    /// `vocab_size` is the model's. Every id of the vocabulary must be below it. An added token may have a larger id; then a text that contains it is
    /// refused.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Tokenizer`] if a file is malformed, too large or does not fit the
    /// model; [`Error::Unsupported`] if this crate does not support the tokenizer.
    #[cfg(feature = "native")]
    pub fn load(dir: &std::path::Path, vocab_size: usize) -> Result<Self> {
        let files = super::files::read(dir)?;
        Self::from_files(&files.borrow(), vocab_size).map_err(|error| match error {
            Error::Tokenizer { file, problem, help } => {
                Error::Tokenizer { file: dir.join(file).display().to_string(), problem, help }
            }
            other => other,
        })
    }

    /// Builds the tokenizer from the same files in memory.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load), except [`Error::Io`].
    pub fn from_files(files: &TokenizerFiles<'_>, vocab_size: usize) -> Result<Self> {
        Self::from_parts(Parts::read(files)?, vocab_size)
    }

    fn from_parts(parts: Parts, vocab_size: usize) -> Result<Self> {
        let Parts { file, model, added, found, template, .. } = parts;
        let broken = |problem: String, help: &str| Error::Tokenizer { file: file.into(), problem, help: help.into() };
        let beyond = |token: &str, id: u32| {
            broken(
                format!("token {:?} has id {id}, but the model's vocab_size is {vocab_size}", clip(token)),
                "Use the tokenizer that belongs to this checkpoint",
            )
        };
        let has_row = |id: u32| (id as usize) < vocab_size;
        if let Some((token, id)) = model.last().filter(|(_, id)| !has_row(*id)) {
            return Err(beyond(token, id));
        }
        // An added token may have no row if no text contains it, but these are in every sequence.
        if let Some(id) = template.last().filter(|id| !has_row(*id)) {
            return Err(beyond(added.content(id).unwrap_or("of the post_processor"), id));
        }
        let all_have_rows = added.contents().all(|(_, id)| has_row(id));
        let unk = model.unk().to_owned();
        let unk_id = parts.unk.or_else(|| model.id(&unk)).unwrap_or(u32::MAX);
        let Some(model) = model.build() else {
            // The model searches for it only in the vocabulary.
            let problem = format!("the vocabulary has no {}", clip(&unk));
            return Err(broken(problem, "Add it to the vocabulary"));
        };
        let special = SpecialTokens { cls: parts.cls, sep: parts.sep, pad: parts.pad, unk: unk_id, mask: parts.mask };
        Ok(Self {
            file: file.into(),
            model,
            found,
            specials: added.special_ids(),
            added,
            special,
            template,
            model_max_length: parts.model_max_length,
            cuts_left: parts.cuts_left,
            rows: (!all_have_rows).then_some(vocab_size as u32),
            joining: parts.joining,
        })
    }

    /// Changes every text to lower case before the tokenizer's own normalization, as `do_lower_case` of sentence-transformers asks. Added tokens in a
    /// text, such as `[MASK]`, keep their case.
    pub fn lowercased(mut self) -> Self {
        self.model.lowercase();
        self
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// `model_max_length` in tokenizer_config.json: the longest sequence that the tokenizer is meant for.
    pub fn model_max_length(&self) -> Option<usize> {
        self.model_max_length
    }

    /// Whether a text that is too long loses its beginning instead of its end.
    pub fn cuts_left(&self) -> bool {
        self.cuts_left
    }

    /// The id of a token, if the tokenizer has it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.model.token_to_id(token))
    }

    /// The token with this id, if there is one. If the vocabulary has several, it is the first by its bytes.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.added.content(id).or_else(|| self.model.id_to_token(id)).map(str::to_owned)
    }

    /// Whether the model has a row for this id.
    pub(super) fn has_row(&self, id: u32) -> bool {
        self.rows.is_none_or(|rows| id < rows)
    }

    pub(super) fn stream(&self) -> Stream {
        self.model.stream()
    }

    pub(super) fn step(&self, stream: &mut Stream, text: &str, most: usize, out: &mut Encoding) -> Result<bool> {
        stream.step(&self.model, &self.found, text, most, out).map_err(|problem| Error::Tokenizer {
            file: self.file.clone(),
            problem,
            help: "Leave it out of the text, or use a tokenizer with an unknown token".into(),
        })
    }

    /// Whether this is a special token, which is not part of a text: `[CLS]`, `[SEP]`, `[PAD]`, `[UNK]`, `[MASK]`, and all others that the files call special.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.binary_search(&id).is_ok()
    }

    /// The longest sequence for a model with this many positions, limited to the length that the tokenizer is meant for.
    pub fn max_len(&self, positions: usize) -> usize {
        self.model_max_length.map_or(positions, |most| most.min(positions))
    }

    /// Truncates the tokens of a text to `most`, at the side where this tokenizer truncates.
    pub(crate) fn shorten(&self, encoding: &mut Encoding, most: usize) {
        if self.cuts_left {
            encoding.keep_last(most);
        } else {
            encoding.truncate(most);
        }
    }

    /// Puts special tokens around a text: `[CLS] a [SEP]` for BERT.
    pub fn single(&self, a: &[u32]) -> Sequence {
        self.template.single(a)
    }

    /// Puts special tokens around two texts: `[CLS] a [SEP] b [SEP]` for BERT, `<s> a </s></s> b </s>` for XLM-R. All types are 0 if the tokenizer's files
    /// omit types.
    pub fn pair(&self, a: &[u32], b: &[u32]) -> Sequence {
        self.template.pair(a, b)
    }

    /// Whether a prefix marks pieces that continue a word, such as `##` of WordPiece.
    pub fn marks_pieces(&self) -> bool {
        matches!(self.model, Model::WordPiece(_))
    }

    /// The number of special tokens that [`single`](Self::single) or [`pair`](Self::pair) adds.
    pub fn special_count(&self, is_pair: bool) -> usize {
        self.template.count(is_pair)
    }

    /// The number of special tokens before the first text.
    pub fn before_text(&self, is_pair: bool) -> usize {
        self.template.before(is_pair)
    }

    /// The position of the second text in a pair, if the first text has this many tokens.
    pub fn second_start(&self, first: usize) -> usize {
        self.template.before(true) + first + self.template.between()
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("file", &self.file).field("special", &self.special).finish_non_exhaustive()
    }
}
