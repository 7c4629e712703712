//! `rank_pattern` and `alpha_pattern`: numbers for the layers that match a pattern, by the rules of `peft`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use tokenizers::utils::SysRegex;

use crate::error::clip;

/// Pairs of a pattern and a number, in the order of the file. The first match is used.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<(Pattern, f64)>);

#[derive(Debug)]
enum Pattern {
    /// The end of a name: the whole name, or the part after a dot.
    End(String),
    Regex(SysRegex),
}

/// The most patterns: more than one for every layer of every module of a possible model.
const MOST: usize = 1 << 14;

/// The most regular expressions, because each must be compiled.
const MOST_EXPRESSIONS: usize = 64;

impl Patterns {
    /// The number for the module with this full name.
    pub fn get(&self, module: &str) -> Option<f64> {
        let matches = |pattern: &Pattern| match pattern {
            Pattern::End(end) => {
                module.strip_suffix(end.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            Pattern::Regex(regex) => regex.find_iter(module).next().is_some(),
        };
        self.0.iter().find(|(pattern, _)| matches(pattern)).map(|(_, number)| *number)
    }
}

/// The patterns as texts.
#[derive(Default)]
pub(super) struct Texts(Vec<(String, f64)>);

impl Texts {
    /// # Errors
    /// Names the pattern that cannot be used, with the reason.
    pub fn compile(self) -> Result<Patterns, String> {
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b));
        if self.0.len() > MOST || self.0.iter().filter(|(text, _)| !is_plain(text)).count() > MOST_EXPRESSIONS {
            return Err(format!("more than {MOST_EXPRESSIONS} regular expressions"));
        }
        let compiled = self.0.into_iter().map(|(text, number)| match is_plain(&text) {
            true => Ok((Pattern::End(text), number)),
            false => match SysRegex::new(&format!(r"^(.*\.)?({text})$")) {
                Ok(regex) => Ok((Pattern::Regex(regex), number)),
                Err(_) => Err(format!("{:?} is not a regular expression", clip(&text))),
            },
        });
        Ok(Patterns(compiled.collect::<Result<_, _>>()?))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_unit<E>(self) -> Result<Texts, E> {
                Ok(Texts::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Texts(pairs))
            }
        }
        deserializer.deserialize_any(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_matches_counts() {
        let texts: Texts = serde_json::from_str(
            r#"{"z.self.query": 1, "self.query": 2, "query": 3, "encoder\\.layer\\.[01]\\..*\\.dense": 4, "^bert$": 5}"#,
        )
        .unwrap();
        let patterns = texts.compile().unwrap();
        let get = |name: &str| patterns.get(name);
        assert_eq!(get("bert.encoder.layer.0.attention.self.query"), Some(2.0));
        assert_eq!(get("query"), Some(3.0));
        assert_eq!(get("my_query"), None);
        assert_eq!(get("bert.encoder.layer.1.attention.output.dense"), Some(4.0));
        assert_eq!(get("bert.encoder.layer.2.output.dense"), None);
        let wrong: Texts = serde_json::from_str(r#"{"(": 1}"#).unwrap();
        assert!(wrong.compile().unwrap_err().contains("not a regular expression"));
        assert!(serde_json::from_str::<Texts>(r#"{"a": "b"}"#).is_err());
    }
}
