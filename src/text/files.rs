//! Reads tokenizer files: `tokenizer.json` or `vocab.txt`, and the files beside them.
//!
//! Every section is checked. Anything that this crate cannot reproduce exactly is refused.

use std::collections::{HashMap, HashSet};

use super::added::{Added, AddedTokens};
use super::bert::BertNormalizer;
use super::contents::{JSON, MAX_WORD_CHARS, PREFIX, TokenizerFiles, USUAL_WORD_CHARS, VOCAB, broken, checked};
#[cfg(feature = "native")]
use super::contents::{MAX_FILE, too_large};
use super::decode::{Decoder, Joining};
use super::json;
use super::model::ModelParts;
#[cfg(feature = "native")]
use super::settings;
use super::settings::{CLS, MASK, PAD, SEP, Settings, UNK};
use super::source::Source;
use super::template::Template;
use super::wordpiece::WordPieceParts;
use crate::error::clip;
use crate::{Error, Result};

/// The parts of a tokenizer, independent of the file that they come from.
pub(super) struct Parts {
    /// The file of the vocabulary.
    pub file: &'static str,
    pub model: ModelParts,
    pub added: AddedTokens,
    pub found: Added,
    pub template: Template,
    pub cls: u32,
    pub sep: u32,
    pub pad: u32,
    pub unk: Option<u32>,
    pub mask: Option<u32>,
    pub model_max_length: Option<usize>,
    pub cuts_left: bool,
    pub joining: Joining,
}

impl Parts {
    pub fn read(files: &TokenizerFiles<'_>) -> Result<Self> {
        let (settings, source) = match (files.json, files.vocab) {
            (Some(json), _) => {
                let source = json::read(checked(JSON, json)?)?;
                (Settings::read(files, &source.added, source.pad.clone())?, source)
            }
            (None, Some(vocab)) => {
                let settings = Settings::read(files, &[], None)?;
                let source = from_vocab(checked(VOCAB, vocab)?, &settings)?;
                (settings, source)
            }
            (None, None) => return Err(absent("tokenizer")),
        };
        let Source { file, mut model, template, ends, decoder, .. } = source;
        if let Some(class) = settings
            .class
            .name
            .as_deref()
            .filter(|class| class.starts_with("BertJapanese") || files.json.is_none() && !settings.class.is_bert)
        {
            return Err(Error::Unsupported {
                what: format!("the tokenizer class {} with a {file}", clip(class)),
                help: "Save the tokenizer as a tokenizer.json, or use a BERT tokenizer".into(),
            });
        }
        let size = model.size();
        let known: HashSet<String> = source.added.iter().map(|(_, token)| token.content.clone()).collect();
        let mut added = AddedTokens::default();
        let in_vocabulary = |content: &str| model.id(content);
        added.add(source.added.into_iter().map(|(_, token)| token).collect(), in_vocabulary, size);
        let more = settings.to_add(|token| added.has(token), |content| added.id(content).is_some());
        added.add(more, in_vocabulary, size);
        if let Some((long, _)) = added.contents().find(|(content, _)| content.chars().count() > MAX_WORD_CHARS) {
            let what = format!("{file}: the added token {:?}, of over {MAX_WORD_CHARS} characters,", clip(long));
            return Err(Error::Unsupported { what, help: "Remove it".into() });
        }
        // Added tokens are normalized as the file says, even if its casing does not apply to texts.
        let splits_special = settings.flag("split_special_tokens")?.unwrap_or(false);
        let found = added.matchers(splits_special, |content| model.normalize(content));
        let found =
            found.map_err(|e| broken(file, format!("an added token cannot be normalized: {e}"), "Remove it"))?;
        if settings.class.is_bert && source.takes_casing {
            model.set_casing(casing(&settings)?);
        }
        let id = |content: &str| added.id(content).or_else(|| model.id(content));
        let need = |role: usize, usual: &str, id: Option<u32>| {
            let name = clip(settings.role(role).unwrap_or(usual));
            let help =
                "A BERT vocabulary has [CLS], [SEP], [PAD] and [UNK]: use the one that belongs to this checkpoint";
            id.ok_or_else(|| broken(file, format!("the vocabulary has no {name}"), help))
        };
        // The token of a role. If only the class names it, a token that the vocabulary has is preferred.
        let role = |role: usize, usual: &str, other: &str| match settings.role(role) {
            Some(name) if settings.is_said(role) || model.id(name).is_some() || known.contains(name) => id(name),
            name => [usual, other].into_iter().find_map(id).or_else(|| name.and_then(id)),
        };
        let ends = match (ends, files.json) {
            (Some(ends), _) => ends,
            (None, Some(_)) => {
                [need(CLS, "<s>", role(CLS, "<s>", "[CLS]"))?, need(SEP, "</s>", role(SEP, "</s>", "[SEP]"))?]
            }
            (None, None) => {
                let slow = |role: usize| settings.slow_id(role, |content| model.id(content), size);
                [need(CLS, "[CLS]", slow(CLS))?, need(SEP, "[SEP]", slow(SEP))?]
            }
        };
        let template = template.unwrap_or_else(|| Template::bert(ends[0], ends[1]));
        let template = if settings.has_types() { template } else { template.without_types() };
        let has_json = files.json.is_some();
        Ok(Self {
            file,
            template,
            cls: ends[0],
            sep: ends[1],
            pad: need(PAD, "[PAD]", role(PAD, "[PAD]", "<pad>"))?,
            unk: settings.role(UNK).and_then(id),
            mask: role(MASK, "[MASK]", "<mask>"),
            model_max_length: settings.max_length(),
            cuts_left: settings.cuts_left()?.unwrap_or(source.cuts_left),
            joining: Joining {
                decoder,
                // Without this key, transformers cleans the decoded text of a vocab.txt, but not that of a
                // tokenizer.json.
                text_is_cleaned: settings.flag("clean_up_tokenization_spaces")?.unwrap_or(!has_json),
            },
            model,
            added,
            found,
        })
    }
}

/// The casing in tokenizer_config.json, or else BERT's: lower case, no accents, Chinese characters separate.
fn casing(settings: &Settings) -> Result<BertNormalizer> {
    Ok(BertNormalizer {
        clean_text: true,
        handle_chinese_chars: settings.flag("tokenize_chinese_chars")?.unwrap_or(true),
        strip_accents: settings.flag("strip_accents")?,
        lowercase: settings.flag("do_lower_case")?.unwrap_or(true),
    })
}

fn from_vocab(bytes: &[u8], settings: &Settings) -> Result<Source> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        broken(VOCAB, format!("it is not UTF-8 at byte {}", e.valid_up_to()), "Save the vocabulary as UTF-8")
    })?;
    // Line ends are the same as in Python.
    let text = text.replace("\r\n", "\n");
    let mut vocab = HashMap::new();
    for (id, token) in text.split_terminator(['\n', '\r']).enumerate() {
        let id = u32::try_from(id).map_err(|_| broken(VOCAB, "it has too many lines", "Use a BERT vocabulary"))?;
        vocab.insert(token.to_owned(), id);
    }
    Ok(Source {
        file: VOCAB,
        model: ModelParts::WordPiece(WordPieceParts {
            vocab,
            unk: settings.role(UNK).unwrap_or("[UNK]").into(),
            prefix: PREFIX.into(),
            max_word_chars: USUAL_WORD_CHARS,
            normalizer: casing(settings)?,
        }),
        takes_casing: false,
        added: Vec::new(),
        template: None,
        ends: None,
        decoder: Decoder::WordPiece { prefix: PREFIX.into(), cleans: true },
        pad: None,
        cuts_left: false,
    })
}

fn absent(place: &str) -> Error {
    let problem = "there is neither tokenizer.json nor vocab.txt";
    broken(place, problem, "Put the model's tokenizer files into its directory")
}

/// The contents of a directory's tokenizer files, in the order of the fields of [`TokenizerFiles`].
#[cfg(feature = "native")]
pub(super) struct Files([Option<Vec<u8>>; 6]);

#[cfg(feature = "native")]
impl Files {
    pub fn borrow(&self) -> TokenizerFiles<'_> {
        let [json, vocab, config, special_tokens_map, added_tokens, model] = self.0.each_ref().map(Option::as_deref);
        TokenizerFiles { json, vocab, config, special_tokens_map, added_tokens, model }
    }
}

/// Reads the tokenizer files that exist in a directory.
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
    let [config, specials, added, model] = [settings::CONFIG, settings::SPECIALS, settings::ADDED, settings::MODEL];
    Ok(Files([json, vocab, read(config)?, read(specials)?, read(added)?, read(model)?]))
}
