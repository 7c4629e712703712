//! What a sentence-transformers directory says beyond the model: how texts are cut, pooled and scaled.
//!
//! `modules.json` lists the modules in order. Those known here are `Transformer`, `Pooling` and `Normalize`.

use serde::Deserialize;

use crate::error::{Error, Result, clip, clip_message};
use crate::pooling::Pooling;

/// How texts become vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The directory of the encoder inside the model's, where it has one of its own.
    pub encoder: Option<String>,
    /// Nothing where there is no `modules.json`.
    pub pooling: Option<Pooling>,
    /// Whether the last module scales vectors to length 1.
    pub normalize: bool,
    /// Tokens of a text, special ones counted.
    pub max_seq_length: Option<usize>,
    pub do_lower_case: bool,
    /// Files that were read beside `modules.json`, and belong to the model.
    pub configs: Vec<String>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reading {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

/// No such file is larger.
#[cfg(feature = "native")]
const MAX_BYTES: u64 = 1 << 20;

impl Sentence {
    /// Reads the directory's `modules.json` and what it names; without one, the defaults.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] for a malformed file, [`Error::Unsupported`] for a module unknown here.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        Self::read(&mut |name| read_if_there(&dir.join(name)))
    }

    /// The same with files found by `file`, by their path in the directory; nothing for one that is not there.
    ///
    /// # Errors
    /// As [`Sentence::open`].
    pub fn read(file: &mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        const MODULES: &str = "modules.json";
        let Some(bytes) = file(MODULES)? else { return Ok(Self::default()) };
        let modules: Vec<Module> = parse(MODULES, &bytes)?;
        // One after the other, each at most once; a model of other modules, or in another order, gives other vectors.
        const ORDER: [&str; 3] = ["Transformer", "Pooling", "Normalize"];
        let kinds: Vec<&str> = modules.iter().map(|m| m.kind.rsplit('.').next().unwrap_or_default()).collect();
        if !matches!(kinds.len(), 2 | 3) || kinds != ORDER[..kinds.len()] {
            return Err(Error::Unsupported {
                what: format!("{MODULES}: the modules {}", clip(&kinds.join(", "))),
                mend: format!("Give a model of {}, in this order; the last may be absent", ORDER.join(", ")),
            });
        }
        let mut sentence = Self::default();
        for (module, kind) in modules.iter().zip(kinds) {
            check_path(&module.path)?;
            let at = |name: &str| match module.path.as_str() {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            match kind {
                "Transformer" => {
                    sentence.encoder = Some(module.path.clone()).filter(|path| !path.is_empty());
                    let name = at("sentence_bert_config.json");
                    if let Some(bytes) = file(&name)? {
                        let reading: Reading = parse(&name, &bytes)?;
                        if reading.max_seq_length.is_some_and(|n| n < 3) {
                            return Err(malformed(&name, "max_seq_length leaves no room for text".into()));
                        }
                        sentence.max_seq_length = reading.max_seq_length;
                        sentence.do_lower_case = reading.do_lower_case;
                        sentence.configs.push(name);
                    }
                }
                "Pooling" => {
                    let name = at("config.json");
                    let missing = || malformed(&name, "it is missing, and modules.json names it".into());
                    sentence.pooling = Some(pooling(&name, &file(&name)?.ok_or_else(missing)?)?);
                    sentence.configs.push(name);
                }
                _ => sentence.normalize = true,
            }
        }
        Ok(sentence)
    }
}

/// The one pooling that a `Pooling` module's configuration turns on.
fn pooling(name: &str, bytes: &[u8]) -> Result<Pooling> {
    let config: serde_json::Map<String, serde_json::Value> = parse(name, bytes)?;
    // One word in newer files, a switch a mode in older ones.
    let word = config.get("pooling_mode").and_then(serde_json::Value::as_str);
    if let Some((_, pooling)) = Pooling::WORDS.iter().find(|(known, _)| word == Some(known)) {
        return Ok(*pooling);
    }
    if let Some(other) = word {
        return Err(Error::Unsupported {
            what: format!("{name}: pooling_mode {:?}", clip(other)),
            mend: format!("Known are {}", Pooling::WORDS.map(|(word, _)| word).join(", ")),
        });
    }
    let on = |key: &str| config.get(key).and_then(serde_json::Value::as_bool) == Some(true);
    let modes: Vec<&String> = config.keys().filter(|key| key.starts_with("pooling_mode_") && on(key)).collect();
    let known = |key: &String| Pooling::KEYS.iter().find(|(known, _)| known == key).map(|(_, pooling)| *pooling);
    match modes[..] {
        [key] if known(key).is_some() => known(key).ok_or_else(|| malformed(name, "no pooling".into())),
        // An older default: the mean.
        [] if !config.keys().any(|key| key.starts_with("pooling_mode")) => Ok(Pooling::Mean),
        [] => Err(malformed(name, "no pooling_mode_… is true".into())),
        _ => Err(Error::Unsupported {
            what: format!("{name}: pooling by {}", modes.iter().map(|m| clip(m)).collect::<Vec<_>>().join(" and ")),
            mend: format!("Known, one at a time, are {}", Pooling::KEYS.map(|(key, _)| key).join(", ")),
        }),
    }
}

/// A module's configuration, or nothing where there is none.
#[cfg(feature = "native")]
pub(crate) fn read_if_there(path: &std::path::Path) -> Result<Option<Vec<u8>>> {
    match path.exists() {
        true => crate::checkpoint::source::read_small(path, MAX_BYTES).map(Some),
        false => Ok(None),
    }
}

/// A module's directory must lie inside the model's.
pub(crate) fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
    };
    match path.is_empty() || (path.len() <= 255 && path.split('/').all(plain)) {
        true => Ok(()),
        false => Err(malformed("modules.json", format!("{:?} is no directory inside the model's", clip(path)))),
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| malformed(name, clip_message(&e)))
}

fn malformed(name: &str, problem: String) -> Error {
    Error::Config { file: name.into(), problem, mend: "Give the files that were saved with the model".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a directory of these files.
    fn read(files: &[(&str, &str)]) -> Result<Sentence> {
        let find = |name: &str| Ok(files.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_bytes().to_vec()));
        Sentence::read(&mut { find })
    }

    const MODULES: &str = r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;

    #[test]
    fn modules_are_read() {
        assert_eq!(read(&[]).unwrap(), Sentence::default());
        let whole = read(&[
            ("modules.json", MODULES),
            ("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": true}"#),
        ]);
        let expected = Sentence {
            encoder: None,
            pooling: Some(Pooling::Mean),
            normalize: true,
            max_seq_length: Some(256),
            do_lower_case: true,
            configs: vec!["sentence_bert_config.json".into(), "1_Pooling/config.json".into()],
        };
        assert_eq!(whole.unwrap(), expected);
        let old = MODULES.replace(r#""path": """#, r#""path": "0_Transformer""#);
        let old = read(&[
            ("modules.json", &old),
            ("1_Pooling/config.json", r#"{"pooling_mode_max_tokens": true}"#),
            ("0_Transformer/sentence_bert_config.json", r#"{"max_seq_length": 9}"#),
        ]);
        let expected = Sentence {
            encoder: Some("0_Transformer".into()),
            pooling: Some(Pooling::Max),
            normalize: true,
            max_seq_length: Some(9),
            do_lower_case: false,
            configs: vec!["0_Transformer/sentence_bert_config.json".into(), "1_Pooling/config.json".into()],
        };
        assert_eq!(old.unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |files: &[(&str, &str)], code: &str, says: &str| {
            let error = read(files).unwrap_err();
            assert!(error.code() == code && error.to_string().contains(says), "{error}");
        };
        let pooled = |config: &'static str| [("modules.json", MODULES), ("1_Pooling/config.json", config)];
        refused(&[("modules.json", "{}")], "config", "modules.json");
        refused(&[("modules.json", MODULES)], "config", "1_Pooling/config.json");
        for kinds in [
            "",
            "Dense",
            "Pooling",
            "Transformer",
            "Pooling, Transformer",
            "Transformer, Pooling, Dense",
            "Transformer, Normalize, Pooling",
            "Transformer, Pooling, Normalize, Normalize",
        ] {
            let list: Vec<String> = kinds
                .split(", ")
                .filter(|k| !k.is_empty())
                .map(|k| format!(r#"{{"path": "", "type": "a.{k}"}}"#))
                .collect();
            refused(&[("modules.json", &format!("[{}]", list.join(",")))], "unsupported", kinds);
        }
        for path in ["../x", "/etc", "a//b", "a\\\\b", "."] {
            let modules =
                format!(r#"[{{"path": "", "type": "a.Transformer"}}, {{"path": "{path}", "type": "a.Pooling"}}]"#);
            refused(&[("modules.json", &modules)], "config", "inside the model's");
        }
        refused(&pooled("[]"), "config", "1_Pooling");
        refused(&pooled(r#"{"pooling_mode_mean_tokens": false}"#), "config", "is true");
        refused(&pooled(r#"{"pooling_mode_lasttoken": true}"#), "unsupported", "lasttoken");
        let short = [("modules.json", MODULES), ("sentence_bert_config.json", r#"{"max_seq_length": 2}"#)];
        refused(&short, "config", "max_seq_length");
        let two = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#;
        refused(&pooled(two), "unsupported", "one at a time");
        refused(&pooled(r#"{"pooling_mode": "weightedmean"}"#), "unsupported", "weightedmean");
        assert_eq!(read(&pooled(r#"{"pooling_mode": "cls"}"#)).unwrap().pooling, Some(Pooling::Cls));
        assert_eq!(read(&pooled("{}")).unwrap().pooling, Some(Pooling::Mean));
    }
}
