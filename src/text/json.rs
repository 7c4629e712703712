//! Reads tokenizer.json: finds the kind of model, then reads the sections of that kind.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::added::AddedToken;
use super::bert::BertNormalizer;
use super::contents::{JSON, MAX_WORD_CHARS, PREFIX, USUAL_WORD_CHARS, broken, parse};
use super::decode::Decoder;
use super::model::ModelParts;
use super::source::Source;
use super::template::Template;
#[cfg(feature = "unigram")]
use super::unigram::Unigram;
use super::wordpiece::WordPieceParts;
use crate::error::{clip, clip_message};
use crate::{Error, Result};

/// The sections of the file. A missing section is the same as `null`.
#[derive(Deserialize)]
struct TokenizerJson<'a> {
    #[serde(default)]
    added_tokens: Option<Vec<Added>>,
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    /// Parsed only when the kind is known: a vocabulary of 250,000 pieces would take 100 MB as JSON values.
    #[serde(borrow)]
    model: &'a RawValue,
}

/// The fields that identify the kind of a model.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Option<IgnoredAny>,
    merges: Option<IgnoredAny>,
    unk_token: Option<IgnoredAny>,
    continuing_subword_prefix: Option<IgnoredAny>,
    max_input_chars_per_word: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Added {
    #[serde(default)]
    id: i64,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Deserialize)]
struct WordPieceJson {
    #[serde(default = "unk_token")]
    unk_token: String,
    #[serde(default = "continuing_subword_prefix")]
    continuing_subword_prefix: String,
    #[serde(default = "max_input_chars_per_word")]
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

fn unk_token() -> String {
    "[UNK]".into()
}

fn continuing_subword_prefix() -> String {
    PREFIX.into()
}

fn max_input_chars_per_word() -> usize {
    USUAL_WORD_CHARS
}

/// Reads the file.
///
/// # Errors
/// [`Error::Tokenizer`] if it is malformed, [`Error::Unsupported`] if it needs something that this crate does not have.
pub(super) fn read(bytes: &[u8]) -> Result<Source> {
    let mut file: TokenizerJson<'_> = parse(JSON, bytes)?;
    let added = file.added_tokens.take().unwrap_or_default();
    let source = match kind(parse(JSON, file.model.get().as_bytes())?).as_str() {
        "WordPiece" => wordpiece(&file)?,
        #[cfg(feature = "unigram")]
        "Unigram" => Source {
            file: JSON,
            model: ModelParts::Unigram(Box::new(Unigram::new(file.model, &file.normalizer, &file.pre_tokenizer)?)),
            takes_casing: false,
            template: Some(Template::read(&file.post_processor)?),
            ends: None,
            decoder: Decoder::read(&file.decoder)?,
            added: Vec::new(),
            pad: None,
            cuts_left: false,
        },
        #[cfg(not(feature = "unigram"))]
        "Unigram" => {
            return Err(Error::Unsupported {
                what: format!("{JSON}: a model of type Unigram, in a build without the feature unigram,"),
                help: "Build with it; in JavaScript, give what importing cloze/unigram.wasm gives as `module`".into(),
            });
        }
        other => return Err(unsupported("model", other, &["WordPiece", "Unigram"])),
    };
    Ok(Source {
        added: added.into_iter().map(|Added { id, token }| (id, token)).collect(),
        pad: file.padding["pad_token"].as_str().map(str::to_owned),
        cuts_left: file.truncation["direction"] == "Left",
        ..source
    })
}

/// The kind of a model. Files of `tokenizers` before 0.9 do not name it, and google-bert/bert-base-uncased still has such a file. `tokenizers` then takes the
/// first kind, in this order, whose fields all exist.
fn kind(fields: Fields) -> String {
    let Fields { kind, vocab, merges, unk_token, continuing_subword_prefix, max_input_chars_per_word } = fields;
    let known = match (vocab, unk_token) {
        (None, _) => "none",
        _ if merges.is_some() => "BPE",
        (_, Some(_)) if continuing_subword_prefix.is_some() && max_input_chars_per_word.is_some() => "WordPiece",
        (_, Some(_)) => "WordLevel",
        _ => "Unigram",
    };
    kind.unwrap_or_else(|| known.into())
}

fn wordpiece(file: &TokenizerJson<'_>) -> Result<Source> {
    let again = "Download or export the file again";
    let model: WordPieceJson = serde_json::from_str(file.model.get())
        .map_err(|e| broken(JSON, format!("section model: {}", clip_message(&e)), again))?;
    is(only(&file.pre_tokenizer, "pretokenizers"), "pre_tokenizer", &["BertPreTokenizer"])?;
    if model.max_input_chars_per_word > MAX_WORD_CHARS {
        return Err(Error::Unsupported {
            what: format!("{JSON}: max_input_chars_per_word above {MAX_WORD_CHARS}"),
            help: "Set it to BERT's 100".into(),
        });
    }
    let decoder = match &file.decoder {
        Value::Null => Decoder::Spaced,
        decoder => {
            is(decoder, "decoder", &["WordPiece"])?;
            let prefix = decoder["prefix"].as_str().unwrap_or(PREFIX).to_owned();
            Decoder::WordPiece { prefix, cleans: decoder["cleanup"].as_bool().unwrap_or(true) }
        }
    };
    let ([cls, sep], second_type) = template(&file.post_processor)?;
    // transformers' class overrides it only if it stands alone.
    let is_own = file.normalizer.get("lowercase").is_some();
    Ok(Source {
        file: JSON,
        model: ModelParts::WordPiece(WordPieceParts {
            vocab: model.vocab,
            unk: model.unk_token,
            prefix: model.continuing_subword_prefix,
            max_word_chars: model.max_input_chars_per_word,
            normalizer: normalizer(only(&file.normalizer, "normalizers"))?,
        }),
        takes_casing: is_own,
        template: Some(Template::bert(cls, sep).with_second_type(second_type)),
        ends: Some([cls, sep]),
        decoder,
        added: Vec::new(),
        pad: None,
        cuts_left: false,
    })
}

/// Returns a section. If the section is a sequence with one element, returns that element.
fn only<'a>(section: &'a Value, parts: &str) -> &'a Value {
    let mut only = section;
    // The parser limits how deeply values can be nested.
    while let Some([part]) = only.get(parts).and_then(Value::as_array).map(Vec::as_slice) {
        only = part;
    }
    only
}

fn normalizer(value: &Value) -> Result<BertNormalizer> {
    let kind = value.get("type").and_then(Value::as_str);
    match kind {
        _ if value.is_null() => Ok(BertNormalizer::NONE),
        Some("Sequence") if value["normalizers"] == json!([]) => Ok(BertNormalizer::NONE),
        Some("Lowercase") => Ok(BertNormalizer { lowercase: true, ..BertNormalizer::NONE }),
        // The crate calls it Bert, and old files do not name their type.
        None | Some("Bert" | "BertNormalizer") => section("normalizer", value.clone()),
        Some(other) => Err(unsupported("normalizer", other, &["BertNormalizer"])),
    }
}

/// BERT's template, `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]` with any spelling of these tokens: returns their ids, and the type of the second text.
fn template(section: &Value) -> Result<([u32; 2], u32)> {
    let kind = section.get("type").and_then(Value::as_str);
    let fields = |names: [&str; 2]| names.iter().all(|name| section.get(*name).is_some());
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let found = match kind {
        None | Some("BertProcessing") if fields(["cls", "sep"]) && section.get("trim_offsets").is_none() => {
            let [cls, sep] = ["cls", "sep"].map(|name| id(&section[name][1]));
            cls.zip(sep).map(|(cls, sep)| ([cls, sep], 1))
        }
        None | Some("TemplateProcessing") if fields(["single", "pair"]) => {
            let name = |at: usize| section["pair"][at]["SpecialToken"]["id"].as_str();
            let special = |name: &str, type_id: u32| json!({"SpecialToken": {"id": name, "type_id": type_id}});
            let text = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
            name(0).zip(name(2)).and_then(|(cls, sep)| {
                let second_type = u32::from(section["pair"][3]["Sequence"]["type_id"] != 0);
                let mut expected = vec![special(cls, 0), text("A", 0), special(sep, 0)];
                let is_single = section["single"].as_array() == Some(&expected);
                expected.extend([text("B", second_type), special(sep, second_type)]);
                let is_pair = section["pair"].as_array() == Some(&expected);
                let token = |name: &str| match section["special_tokens"][name]["ids"].as_array()?.as_slice() {
                    [only] => id(only),
                    _ => None,
                };
                let (cls, sep) = token(cls).zip(token(sep))?;
                (is_single && is_pair).then_some(([cls, sep], second_type))
            })
        }
        _ => {
            return Err(unsupported(
                "post_processor",
                kind.unwrap_or("none"),
                &["TemplateProcessing", "BertProcessing"],
            ));
        }
    };
    found.ok_or_else(|| Error::Unsupported {
        what: format!("{JSON}: a post_processor other than [CLS] A [SEP] and [CLS] A [SEP] B [SEP]"),
        help: "Use a BERT tokenizer".into(),
    })
}

fn section<T: DeserializeOwned>(name: &str, value: Value) -> Result<T> {
    let help = "Download or export the file again";
    serde_json::from_value(value).map_err(|e| broken(JSON, format!("section {name}: {}", clip_message(&e)), help))
}

/// Checks the type tag of a section.
fn is(value: &Value, section: &str, types: &[&str]) -> Result<()> {
    let found = value.get("type").and_then(Value::as_str).unwrap_or("none");
    if types.contains(&found) { Ok(()) } else { Err(unsupported(section, found, types)) }
}

fn unsupported(section: &str, found: &str, types: &[&str]) -> Error {
    Error::Unsupported {
        what: format!("{JSON}: {section} of type {}", clip(found)),
        help: format!("Use a BERT tokenizer, whose {section} is {}", types.join(" or ")).into(),
    }
}
