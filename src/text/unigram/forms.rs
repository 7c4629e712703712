//! The normalizers that need Unicode's tables: the normalization forms, accents, BERT's and SentencePiece's nmt.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::Nmt;
use tokenizers::{NormalizedString, Normalizer as _};

use crate::text::bert::{BertNormalizer, is_chinese};
use crate::text::unicode::Category;
use crate::text::unicode::forms::{Form, is_combining_mark};

pub(super) enum UnicodeNormalizer {
    Form(Form),
    StripAccents,
    Nmt,
    Bert(BertNormalizer),
}

impl UnicodeNormalizer {
    /// The normalizer of this type; `None` for another type.
    ///
    /// # Errors
    /// If the section is malformed.
    pub fn read(kind: &str, section: &Value) -> serde_json::Result<Option<Self>> {
        let form = |compatible, composed| Self::Form(Form { compatible, composed });
        Ok(Some(match kind {
            "NFC" => form(false, true),
            "NFD" => form(false, false),
            "NFKC" => form(true, true),
            "NFKD" => form(true, false),
            "StripAccents" => Self::StripAccents,
            "Nmt" => Self::Nmt,
            "BertNormalizer" => Self::Bert(BertNormalizer::deserialize(section)?),
            _ => return Ok(None),
        }))
    }

    pub fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::Form(form) => apply(*form, text),
            Self::StripAccents => drop(text.filter(|c| !is_combining_mark(c))),
            Self::Nmt => Nmt.normalize(text)?,
            Self::Bert(bert) => clean(bert, text),
        }
        Ok(())
    }
}

fn apply(form: Form, text: &mut NormalizedString) {
    let changes = form.apply(text.get());
    text.transform(changes, 0);
}

/// `BertNormalizer`, with the alignment of the normalizers before and after it.
fn clean(bert: &BertNormalizer, text: &mut NormalizedString) {
    if bert.clean_text {
        let is_space = |c: char| matches!(c, '\t' | '\n' | '\r') || c.is_whitespace();
        let is_control = |c: char| !matches!(c, '\t' | '\n' | '\r') && Category::Other.contains(c);
        text.filter(|c| !matches!(c, '\0' | '\u{fffd}') && !is_control(c));
        text.map(|c| if is_space(c) { ' ' } else { c });
    }
    if bert.handle_chinese_chars {
        let mut changes = Vec::with_capacity(text.get().len());
        for c in text.get().chars() {
            match is_chinese(c) {
                true => changes.extend([(' ', 0), (c, 1), (' ', 1)]),
                false => changes.push((c, 0)),
            }
        }
        text.transform(changes, 0);
    }
    if bert.strip_accents.unwrap_or(bert.lowercase) {
        apply(Form { compatible: false, composed: false }, text);
        text.filter(|c| !Category::NonspacingMark.contains(c));
    }
    if bert.lowercase {
        text.lowercase();
    }
}
