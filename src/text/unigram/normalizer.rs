//! The normalizers in `tokenizer.json` before a Unigram model, in their order.

use serde_json::Value;
use tokenizers::NormalizedString;
use unicode_segmentation::UnicodeSegmentation;

use super::charsmap::Charsmap;
use super::forms::UnicodeNormalizer;
use super::pattern::Pattern;
use crate::error::{Error, Result, clip, clip_message};

/// The deepest nesting of normalizers.
const MOST_DEPTH: usize = 8;

/// All steps, without nesting.
pub(super) struct Normalizer(Vec<Step>);

enum Step {
    Charsmap(Charsmap),
    Replace(Pattern, String),
    Strip { left: bool, right: bool },
    Lowercase,
    Prepend(String),
    Unicode(UnicodeNormalizer),
}

impl Normalizer {
    /// Reads the section `normalizer`; `null` does nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an unknown step, [`Error::Tokenizer`] for a malformed one.
    pub fn new(section: &Value) -> Result<Self> {
        let mut steps = Vec::new();
        read(section, &mut steps, 0)?;
        Ok(Self(steps))
    }

    /// Changes texts to lower case before the other steps.
    pub fn lowercase_first(&mut self) {
        self.0.insert(0, Step::Lowercase);
    }

    /// Normalizes a text, and returns whether its start vanished; see [`Charsmap::normalize`].
    pub fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<bool> {
        let mut start_is_lost = false;
        for step in &self.0 {
            match step {
                Step::Charsmap(map) => start_is_lost |= map.normalize(text),
                Step::Replace(pattern, content) => text.replace(pattern, content)?,
                Step::Strip { left: true, right: true } => drop(text.strip()),
                Step::Strip { left: true, .. } => drop(text.lstrip()),
                Step::Strip { right: true, .. } => drop(text.rstrip()),
                Step::Strip { .. } => {}
                Step::Lowercase => drop(text.lowercase()),
                // An empty text stays empty.
                Step::Prepend(prefix) => drop(text.prepend(prefix)),
                Step::Unicode(normalizer) => normalizer.normalize(text)?,
            }
        }
        Ok(start_is_lost)
    }

    /// Whether a text may be cut between these two characters. Then both halves give the same result as the whole.
    pub fn may_cut(&self, before: char, after: char) -> bool {
        let regional = |c: char| ('\u{1f1e6}'..='\u{1f1ff}').contains(&c);
        let spans = |step: &Step| matches!(step, Step::Replace(pattern, _) if pattern.may_span(before, after));
        if regional(before) || self.0.iter().any(spans) {
            return false;
        }
        let pair = String::from_iter([before, after]);
        // A mark would belong to the letter before it, which is not known here.
        let alone = String::from_iter(['a', before, after]).graphemes(true).count() == 3;
        alone && self.keeps(&pair) && pair.chars().all(|c| self.keeps(c.encode_utf8(&mut [0; 4])))
    }

    /// Whether normalization does not change the text.
    pub fn keeps(&self, text: &str) -> bool {
        let mut normalized = NormalizedString::from(text);
        self.normalize(&mut normalized).is_ok() && normalized.get() == text
    }
}

fn read(section: &Value, steps: &mut Vec<Step>, depth: usize) -> Result<()> {
    let kind = match section {
        Value::Null => return Ok(()),
        section => section["type"].as_str().unwrap_or_default(),
    };
    let broken = |problem: &str| {
        super::broken(format!("normalizer {}: {problem}", clip(kind)), "Download or export the file again")
    };
    let flag = |name: &str| section[name].as_bool().ok_or_else(|| broken(&format!("{name} is neither true nor false")));
    let text = |name: &str| section[name].as_str().ok_or_else(|| broken(&format!("{name} is not a string")));
    steps.push(match kind {
        "Sequence" => {
            let Some(parts) = section["normalizers"].as_array() else { return Err(broken("it has no normalizers")) };
            if depth == MOST_DEPTH {
                return Err(broken("too many sequences lie inside each other"));
            }
            return parts.iter().try_for_each(|part| read(part, steps, depth + 1));
        }
        "Precompiled" => {
            let map = Charsmap::new(text("precompiled_charsmap")?);
            Step::Charsmap(map.ok_or_else(|| broken("its precompiled_charsmap cannot be read"))?)
        }
        "Replace" => {
            let pattern = Pattern::new(&section["pattern"]).ok_or_else(|| Error::Unsupported {
                what: format!("tokenizer.json: the pattern {} of Replace", clip(&section["pattern"].to_string())),
                help: "Use a text, or one character or \\s with +, {2} or {2,} behind it".into(),
            })?;
            Step::Replace(pattern, text("content")?.into())
        }
        "Strip" => Step::Strip { left: flag("strip_left")?, right: flag("strip_right")? },
        "Lowercase" => Step::Lowercase,
        "Prepend" => Step::Prepend(text("prepend")?.into()),
        other => match UnicodeNormalizer::read(other, section).map_err(|e| broken(&clip_message(&e)))? {
            Some(normalizer) => Step::Unicode(normalizer),
            None => return Err(super::unsupported("normalizer", other)),
        },
    });
    Ok(())
}
