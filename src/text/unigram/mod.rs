//! Unigram tokenizers, as XLM-R and related models use them: SentencePiece models in `tokenizer.json`.
//!
//! Text normalization with its alignment comes from the `tokenizers` crate. Two of its parts are not used: its model takes about 200 MB for 250,000 pieces, and
//! its reader of `precompiled_charsmap` panics on bad files.

mod charsmap;
mod decoder;
mod forms;
mod lattice;
mod normalizer;
mod pattern;
mod stream;
mod template;
mod vocabulary;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::NormalizedString;

use self::lattice::Model;
use self::normalizer::Normalizer;
pub(super) use self::stream::Stream;
use self::vocabulary::{Pieces, Vocabulary};
use crate::error::{Error, Result, clip, clip_message};

/// A Unigram model with its normalizer and the rules for cutting words.
pub(super) struct Unigram {
    normalizer: Normalizer,
    cutter: Cutter,
    model: Model,
}

/// The rules for cutting a normalized text into words.
#[derive(Default)]
struct Cutter {
    /// Whether to cut at white space, which is dropped.
    at_white_space: bool,
    metaspace: Option<Metaspace>,
}

/// Replaces spaces by a sign that the vocabulary has, `▁`.
struct Metaspace {
    sign: char,
    prepend: Prepend,
    /// Whether a word begins at each sign.
    cuts: bool,
}

/// Where the sign is added before a text that does not begin with it.
#[derive(Clone, Copy, PartialEq)]
enum Prepend {
    Always,
    /// Only at the start of the whole text.
    First,
    Never,
}

#[derive(Deserialize)]
struct UnigramJson {
    vocab: Pieces,
    #[serde(default)]
    unk_id: Option<u32>,
    #[serde(default)]
    byte_fallback: bool,
}

impl Unigram {
    /// Reads the sections `model`, `normalizer` and `pre_tokenizer` of tokenizer.json.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for unknown parts, [`Error::Tokenizer`] for malformed ones.
    pub fn new(model: &RawValue, normalizer: &Value, pre_tokenizer: &Value) -> Result<Self> {
        let again = "Download or export the file again";
        let UnigramJson { vocab, unk_id, byte_fallback } = serde_json::from_str(model.get())
            .map_err(|e| broken(format!("section model: {}", clip_message(&e)), again))?;
        let vocabulary = Vocabulary::new(vocab);
        if unk_id.is_some_and(|id| id as usize >= vocabulary.len()) {
            return Err(broken("unk_id is not in the vocabulary", again));
        }
        Ok(Self {
            normalizer: Normalizer::new(normalizer)?,
            cutter: Cutter::new(pre_tokenizer)?,
            model: Model { vocabulary, unk: unk_id, byte_fallback },
        })
    }

    /// The number of pieces.
    pub fn len(&self) -> usize {
        self.model.vocabulary.len()
    }

    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.model.vocabulary.id(token)
    }

    pub fn id_to_token(&self, id: u32) -> Option<&str> {
        self.model.vocabulary.piece(id)
    }

    /// The spelling of the unknown token.
    pub fn unk(&self) -> Option<&str> {
        self.id_to_token(self.model.unk?)
    }

    /// Changes texts to lower case before the other normalizers.
    pub fn lowercase_first(&mut self) {
        self.normalizer.lowercase_first();
    }

    /// Normalizes an added token.
    ///
    /// # Errors
    /// The message of a normalizer.
    pub fn normalize(&self, text: &str) -> Result<String, String> {
        let mut text = NormalizedString::from(text);
        self.normalizer.normalize(&mut text).map_err(|e| e.to_string())?;
        Ok(text.get().to_owned())
    }
}

impl Cutter {
    fn new(section: &Value) -> Result<Self> {
        let mut cutter = Self::default();
        let parts = match section["type"].as_str() {
            Some("Sequence") => section["pretokenizers"].as_array().map(Vec::as_slice).unwrap_or_default(),
            _ => std::slice::from_ref(section),
        };
        for part in parts.iter().filter(|part| !part.is_null()) {
            match part["type"].as_str().unwrap_or("none") {
                // After Metaspace, a cut at white space finds only white space other than spaces.
                "WhitespaceSplit" if cutter.metaspace.is_none() => cutter.at_white_space = true,
                "Metaspace" if cutter.metaspace.is_none() => cutter.metaspace = Some(Metaspace::new(part)?),
                other => return Err(unsupported("pre_tokenizer", other)),
            }
        }
        Ok(cutter)
    }
}

impl Metaspace {
    /// Reads `prepend_scheme` and `split`, or `add_prefix_space` of older files.
    fn new(section: &Value) -> Result<Self> {
        let broken = |problem: &str| broken(format!("Metaspace: {problem}"), "Download or export the file again");
        let mut signs = section["replacement"].as_str().unwrap_or_default().chars();
        let (Some(sign), None) = (signs.next(), signs.next()) else {
            return Err(broken("replacement must be one character"));
        };
        let prepend = match (&section["prepend_scheme"], section["add_prefix_space"].as_bool()) {
            (Value::Null, Some(false)) => Ok(Prepend::Never),
            (Value::Null, _) => Ok(Prepend::Always),
            (Value::String(scheme), adds) => match (scheme.as_str(), adds) {
                ("never", _) => Ok(Prepend::Never),
                ("always" | "first", Some(false)) => Err("add_prefix_space does not match prepend_scheme"),
                ("always", _) => Ok(Prepend::Always),
                ("first", _) => Ok(Prepend::First),
                _ => Err("prepend_scheme must be always, first or never"),
            },
            _ => Err("prepend_scheme is not a string"),
        };
        let cuts = section["split"].as_bool().unwrap_or(true);
        Ok(Self { sign, prepend: prepend.map_err(broken)?, cuts })
    }
}

fn broken(problem: impl Into<String>, help: &str) -> Error {
    Error::Tokenizer { file: "tokenizer.json".into(), problem: problem.into(), help: help.into() }
}

fn unsupported(section: &str, found: &str) -> Error {
    Error::Unsupported {
        what: format!("tokenizer.json: {section} of type {} before a Unigram model", clip(found)),
        help: "Use a tokenizer like that of XLM-R, or a WordPiece tokenizer".into(),
    }
}
