//! Reading tokenizer files: `tokenizer.json`, or `vocab.txt`, and the casing of `tokenizer_config.json`.
//!
//! Every section is checked here, and nothing that this crate cannot reproduce exactly is let through.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use tokenizers::normalizers::BertNormalizer;

use super::added::{AddedToken, plain};
use super::decode::Decoder;
use super::json;
use super::model::ModelParts;
use super::template::Template;
use super::wordpiece::WordPieceParts;
use crate::error::{clip, clip_message};
use crate::{Error, Result};

/// The longest file that is read, in bytes. The largest BERT vocabularies make a tokenizer.json of a few megabytes.
const MAX_FILE: u64 = 64 << 20;

/// WordPiece tries every substring of a word, so its time grows with the square of this limit; every BERT has 100.
/// Added tokens are looked for at every byte of a text, each time over no more than this.
pub(super) const MAX_WORD_CHARS: usize = 1000;

/// What every BERT has.
pub(super) const USUAL_WORD_CHARS: usize = 100;

/// What a piece inside a word begins with, for every BERT.
pub(super) const PREFIX: &str = "##";

/// The contents of a model directory's tokenizer files. One of `json` and `vocab` is needed; `json` wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`
    pub json: Option<&'a [u8]>,
    /// `vocab.txt`: one token a line, the line's number is its id.
    pub vocab: Option<&'a [u8]>,
    /// `tokenizer_config.json`: `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, names of special tokens.
    pub config: Option<&'a [u8]>,
}

/// What a tokenizer is made of, whichever file said so.
pub(super) struct Parts {
    /// Where the vocabulary came from.
    pub file: String,
    pub model: ModelParts,
    /// Where special tokens stand; nothing where BERT has them.
    pub template: Option<Template>,
    pub added: Vec<AddedToken>,
    pub names: Names,
    pub model_max_length: Option<usize>,
    pub decoder: Decoder,
    pub text_is_cleaned: bool,
}

/// How the special tokens are spelt.
pub(super) struct Names {
    pub cls: String,
    pub sep: String,
    pub pad: String,
    pub unk: String,
    pub mask: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    pub tokenizer_class: Option<String>,
    pub do_lower_case: Option<bool>,
    pub strip_accents: Option<bool>,
    pub tokenize_chinese_chars: Option<bool>,
    /// transformers writes 1e30 for "no limit".
    model_max_length: Option<f64>,
    clean_up_tokenization_spaces: Option<bool>,
    truncation_side: Option<String>,
    cls_token: Option<Name>,
    sep_token: Option<Name>,
    pad_token: Option<Name>,
    unk_token: Option<Name>,
    mask_token: Option<Name>,
    /// By id.
    added_tokens_decoder: BTreeMap<String, AddedToken>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Token { content: String },
}

const CONFIG: &str = "tokenizer_config.json";
pub(super) const JSON: &str = "tokenizer.json";
const VOCAB: &str = "vocab.txt";

impl Parts {
    pub fn read(files: &TokenizerFiles<'_>) -> Result<Self> {
        let config: Config = match files.config {
            Some(bytes) => parse(CONFIG, checked(CONFIG, bytes)?)?,
            None => Config::default(),
        };
        if let Some(side) = config.truncation_side.as_deref().filter(|side| *side != "right") {
            return Err(Error::Unsupported {
                what: format!("{CONFIG}: truncation_side {:?}", clip(side)),
                mend: "Set it to \"right\", or remove it".into(),
            });
        }
        let mut parts = match (files.json, files.vocab) {
            (Some(json), _) => json::read(checked(JSON, json)?, &config)?,
            (None, Some(vocab)) => Self::from_vocab(checked(VOCAB, vocab)?, &config)?,
            (None, None) => return Err(absent("tokenizer")),
        };
        parts.model_max_length = config.model_max_length.filter(|n| *n >= 1.0 && *n < 1e9).map(|n| n as usize);
        // Without the key transformers cleans what a vocab.txt decodes to, and not what a tokenizer.json does.
        parts.text_is_cleaned = config.clean_up_tokenization_spaces.unwrap_or(files.json.is_none());
        #[cfg(feature = "unigram")]
        let has_wide_mask = config.has_wide_mask();
        // The first mention of a token counts.
        let mut known: HashSet<String> = parts.added.iter().map(|t| t.content.clone()).collect();
        let mut add = |token: AddedToken| {
            if known.insert(token.content.clone()) {
                parts.added.push(token);
            }
        };
        for (id, token) in config.added_tokens_decoder {
            let Ok(id) = id.parse() else {
                let problem = format!("added_tokens_decoder has the id {:?}", clip(&id));
                return Err(broken(CONFIG, problem, "Ids are whole numbers"));
            };
            add(AddedToken { id, ..token });
        }
        let Names { cls, sep, pad, unk, mask } = &parts.names;
        [cls, sep, pad, unk, mask].into_iter().filter(|n| parts.model.id(n).is_some()).for_each(|n| add(plain(n)));
        #[cfg(feature = "unigram")]
        if let Some(mask) = parts.added.iter_mut().find(|t| has_wide_mask && t.content == parts.names.mask) {
            mask.lstrip = true;
        }
        if let Some(long) = parts.added.iter().find(|t| t.content.chars().count() > MAX_WORD_CHARS) {
            let what = format!(
                "{}: the added token {:?}, of over {MAX_WORD_CHARS} characters,",
                parts.file,
                clip(&long.content)
            );
            return Err(Error::Unsupported { what, mend: "Remove it".into() });
        }
        Ok(parts)
    }

    fn from_vocab(bytes: &[u8], config: &Config) -> Result<Self> {
        let classes = ["BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"];
        if let Some(class) = config.tokenizer_class.as_deref().filter(|c| !classes.contains(c)) {
            return Err(Error::Unsupported {
                what: format!("{CONFIG}: the tokenizer class {} with a vocab.txt", clip(class)),
                mend: "Save the tokenizer as a tokenizer.json, or use a BERT tokenizer".into(),
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|e| {
            broken(VOCAB, format!("it is not UTF-8 at byte {}", e.valid_up_to()), "Save the vocabulary as UTF-8")
        })?;
        let lines = text.split_terminator('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
        let mut vocab = HashMap::new();
        for (id, token) in lines.enumerate() {
            let id = u32::try_from(id).map_err(|_| broken(VOCAB, "it has too many lines", "Use a BERT vocabulary"))?;
            vocab.insert(token.to_owned(), id);
        }
        let names = Names::new(config, None);
        let chinese = config.tokenize_chinese_chars.unwrap_or(true);
        let lowercase = config.do_lower_case.unwrap_or(true);
        Ok(Self {
            file: VOCAB.into(),
            model: ModelParts::WordPiece(WordPieceParts {
                vocab,
                unk: names.unk.clone(),
                prefix: PREFIX.into(),
                max_word_chars: USUAL_WORD_CHARS,
                normalizer: BertNormalizer::new(true, chinese, config.strip_accents, lowercase),
            }),
            template: None,
            added: Vec::new(),
            names,
            model_max_length: None,
            decoder: Decoder::WordPiece { prefix: PREFIX.into(), cleans: true },
            text_is_cleaned: false,
        })
    }
}

/// The tokenizer classes of transformers, without `Fast`, whose models have no token types, and whose mask takes the white space
/// before it where the files do not say what it does.
#[cfg(feature = "unigram")]
const WITHOUT_TYPES: [&str; 6] = [
    "XLMRobertaTokenizer",
    "CamembertTokenizer",
    "BarthezTokenizer",
    "MBartTokenizer",
    "MBart50Tokenizer",
    "BigBirdTokenizer",
];

#[cfg(feature = "unigram")]
impl Config {
    fn is_without_types(&self) -> bool {
        let class = self.tokenizer_class.as_deref().unwrap_or_default();
        WITHOUT_TYPES.contains(&class.strip_suffix("Fast").unwrap_or(class))
    }

    /// Whether the model is given token types.
    pub fn has_types(&self) -> bool {
        !self.is_without_types()
    }

    /// Whether the mask takes the white space before it though the files do not say so.
    fn has_wide_mask(&self) -> bool {
        self.is_without_types() && self.mask_token.is_none()
    }
}

impl Names {
    /// The names that `config` gives, else those that XLM-R has and then those that BERT has, whichever are tokens.
    #[cfg(feature = "unigram")]
    pub fn of_unigram(config: &Config, unk: Option<&str>, is_known: &dyn Fn(&str) -> bool) -> Self {
        let or = |name: &Option<Name>, usual: &str, of_bert: &str| match name {
            Some(Name::Text(content) | Name::Token { content }) => content.clone(),
            None if is_known(of_bert) && !is_known(usual) => of_bert.into(),
            None => usual.into(),
        };
        Self {
            cls: or(&config.cls_token, "<s>", "[CLS]"),
            sep: or(&config.sep_token, "</s>", "[SEP]"),
            pad: or(&config.pad_token, "<pad>", "[PAD]"),
            unk: unk.map_or_else(|| or(&config.unk_token, "<unk>", "[UNK]"), str::to_owned),
            mask: or(&config.mask_token, "<mask>", "[MASK]"),
        }
    }

    pub fn new(config: &Config, unk: Option<&str>) -> Self {
        let or = |name: &Option<Name>, default: &str| match name {
            Some(Name::Text(content) | Name::Token { content }) => content.clone(),
            None => default.to_owned(),
        };
        Self {
            cls: or(&config.cls_token, "[CLS]"),
            sep: or(&config.sep_token, "[SEP]"),
            pad: or(&config.pad_token, "[PAD]"),
            unk: unk.map_or_else(|| or(&config.unk_token, "[UNK]"), str::to_owned),
            mask: or(&config.mask_token, "[MASK]"),
        }
    }
}

pub(super) fn broken(file: &str, problem: impl Into<String>, mend: &str) -> Error {
    Error::Tokenizer { file: file.into(), problem: problem.into(), mend: mend.into() }
}

fn checked<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_large(file));
    }
    Ok(bytes)
}

fn too_large(file: &str) -> Error {
    broken(file, format!("it is larger than {} MiB", MAX_FILE >> 20), "Use a BERT tokenizer")
}

fn absent(place: &str) -> Error {
    let problem = "there is neither tokenizer.json nor vocab.txt";
    broken(place, problem, "Put the model's tokenizer files into its directory")
}

pub(super) fn parse<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| broken(file, clip_message(&e), "Download or export the file again"))
}

/// A directory's tokenizer files, read.
#[cfg(feature = "native")]
pub(super) struct Files {
    json: Option<Vec<u8>>,
    vocab: Option<Vec<u8>>,
    config: Option<Vec<u8>>,
}

#[cfg(feature = "native")]
impl Files {
    pub fn borrow(&self) -> TokenizerFiles<'_> {
        TokenizerFiles { json: self.json.as_deref(), vocab: self.vocab.as_deref(), config: self.config.as_deref() }
    }
}

/// Reads what there is of a directory's tokenizer files.
#[cfg(feature = "native")]
pub(super) fn read(dir: &std::path::Path) -> Result<Files> {
    use std::io::{ErrorKind, Read};
    let read = |name: &str| {
        let path = dir.join(name);
        let file = match crate::files::open_regular(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", &path, e))?;
        if bytes.len() as u64 > MAX_FILE { Err(too_large(&path.display().to_string())) } else { Ok(Some(bytes)) }
    };
    let json = read(JSON)?;
    let vocab = if json.is_none() { read(VOCAB)? } else { None };
    if json.is_none() && vocab.is_none() {
        return Err(absent(&dir.display().to_string()));
    }
    Ok(Files { json, vocab, config: read(CONFIG)? })
}
