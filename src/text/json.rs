//! tokenizer.json: which kind of model it is, and the sections of that kind.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokenizers::normalizers::BertNormalizer;

use super::added::AddedToken;
use super::decode::Decoder;
use super::files::{Config, JSON, MAX_WORD_CHARS, Names, PREFIX, Parts, USUAL_WORD_CHARS, broken, parse};
use super::model::ModelParts;
#[cfg(feature = "unigram")]
use super::template::Template;
#[cfg(feature = "unigram")]
use super::unigram::Unigram;
use super::wordpiece::WordPieceParts;
use crate::error::{clip, clip_message};
use crate::{Error, Result};

/// The sections of the file. Any may be absent, which is the same as `null`.
#[derive(Deserialize)]
struct TokenizerJson<'a> {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    /// Read once its kind is known: a vocabulary of 250,000 pieces would take 100 MB as values.
    #[serde(borrow)]
    model: &'a RawValue,
}

/// What tells the kind of a model.
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

/// What the file says, and of what it leaves open, what `config` says.
pub(super) fn read(bytes: &[u8], config: &Config) -> Result<Parts> {
    let file: TokenizerJson<'_> = parse(JSON, bytes)?;
    match kind(parse(JSON, file.model.get().as_bytes())?).as_str() {
        "WordPiece" => wordpiece(file, config),
        #[cfg(feature = "unigram")]
        "Unigram" => unigram(file, config),
        #[cfg(not(feature = "unigram"))]
        "Unigram" => Err(Error::Unsupported {
            what: format!("{JSON}: a model of type Unigram, in a build without the feature unigram,"),
            mend: "Build with it; in JavaScript, give what importing cloze/unigram.wasm gives as `module`".into(),
        }),
        other => Err(unsupported("model", other, &["WordPiece", "Unigram"])),
    }
}

/// The kind of a model. Files of `tokenizers` before 0.9 do not name it, and google-bert/bert-base-uncased has such a file to this
/// day. `tokenizers` then takes the first kind whose fields are all there, in this order.
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

/// A model like that of XLM-R. Its special tokens are where the template says, so their names may be any.
#[cfg(feature = "unigram")]
fn unigram(file: TokenizerJson<'_>, config: &Config) -> Result<Parts> {
    let model = Unigram::new(file.model, &file.normalizer, &file.pre_tokenizer)?;
    let template = Template::read(&file.post_processor)?;
    let decoder = Decoder::read(&file.decoder)?;
    let is_known =
        |name: &str| model.token_to_id(name).is_some() || file.added_tokens.iter().any(|t| t.content == name);
    let names = Names::of_unigram(config, model.unk(), &is_known);
    Ok(Parts {
        file: JSON.into(),
        model: ModelParts::Unigram(Box::new(model)),
        template: Some(if config.has_types() { template } else { template.without_types() }),
        added: file.added_tokens,
        names,
        model_max_length: None,
        decoder,
        text_is_cleaned: false,
    })
}

fn wordpiece(file: TokenizerJson<'_>, config: &Config) -> Result<Parts> {
    let again = "Download or export the file again";
    let model: WordPieceJson = serde_json::from_str(file.model.get())
        .map_err(|e| broken(JSON, format!("section model: {}", clip_message(&e)), again))?;
    let normalizer = file.normalizer;
    is(&normalizer, "normalizer", &["BertNormalizer"])?;
    let mut normalizer: BertNormalizer = section("normalizer", normalizer)?;
    is(&file.pre_tokenizer, "pre_tokenizer", &["BertPreTokenizer"])?;
    let names = Names::new(config, Some(&model.unk_token));
    let post = file.post_processor;
    is(&post, "post_processor", &["TemplateProcessing", "BertProcessing"])?;
    let [single, pair] = templates(&names);
    if post["type"] == "TemplateProcessing" && (post["pair"] != pair || post["single"] != single) {
        return Err(Error::Unsupported {
            what: format!("{JSON}: a post_processor other than [CLS] A [SEP] and [CLS] A [SEP] B [SEP]"),
            mend: "Use a BERT tokenizer".into(),
        });
    }
    let decoder = file.decoder;
    is(&decoder, "decoder", &["WordPiece"])?;
    if decoder["prefix"] != model.continuing_subword_prefix.as_str() {
        return Err(Error::Unsupported {
            what: format!("{JSON}: a decoder with another prefix than the model's"),
            mend: "Use a BERT tokenizer, where both are ##".into(),
        });
    }
    // transformers rewrites the normaliser where tokenizer_config.json contradicts it.
    if config.tokenizer_class.as_deref().is_none_or(|class| class.starts_with("Bert")) {
        normalizer.lowercase = config.do_lower_case.unwrap_or(normalizer.lowercase);
        normalizer.strip_accents = config.strip_accents.or(normalizer.strip_accents);
        normalizer.handle_chinese_chars = config.tokenize_chinese_chars.unwrap_or(normalizer.handle_chinese_chars);
    }
    if model.max_input_chars_per_word > MAX_WORD_CHARS {
        return Err(Error::Unsupported {
            what: format!("{JSON}: max_input_chars_per_word above {MAX_WORD_CHARS}"),
            mend: "Set it to BERT's 100".into(),
        });
    }
    Ok(Parts {
        file: JSON.into(),
        model: ModelParts::WordPiece(WordPieceParts {
            vocab: model.vocab,
            unk: model.unk_token,
            prefix: model.continuing_subword_prefix.clone(),
            max_word_chars: model.max_input_chars_per_word,
            normalizer,
        }),
        template: None,
        added: file.added_tokens,
        names,
        model_max_length: None,
        decoder: Decoder::WordPiece {
            prefix: model.continuing_subword_prefix,
            cleans: decoder["cleanup"].as_bool().unwrap_or(true),
        },
        text_is_cleaned: false,
    })
}

/// BERT's sequences of one text and of two in the words of TemplateProcessing.
fn templates(names: &Names) -> [Value; 2] {
    let special = |name: &str, type_id| json!({"SpecialToken": {"id": name, "type_id": type_id}});
    let text = |name, type_id| json!({"Sequence": {"id": name, "type_id": type_id}});
    let first = [special(&names.cls, 0), text("A", 0), special(&names.sep, 0)];
    let second = [text("B", 1), special(&names.sep, 1)];
    [json!(first), Value::Array(first.iter().chain(&second).cloned().collect())]
}

fn section<T: DeserializeOwned>(name: &str, value: Value) -> Result<T> {
    let mend = "Download or export the file again";
    serde_json::from_value(value).map_err(|e| broken(JSON, format!("section {name}: {}", clip_message(&e)), mend))
}

/// Checks a section's type tag.
fn is(value: &Value, section: &str, types: &[&str]) -> Result<()> {
    let found = value.get("type").and_then(Value::as_str).unwrap_or("none");
    if types.contains(&found) { Ok(()) } else { Err(unsupported(section, found, types)) }
}

fn unsupported(section: &str, found: &str, types: &[&str]) -> Error {
    Error::Unsupported {
        what: format!("{JSON}: {section} of type {}", clip(found)),
        mend: format!("Use a BERT tokenizer, whose {section} is {}", types.join(" or ")),
    }
}
