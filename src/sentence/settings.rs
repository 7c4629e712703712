//! Reads the keys of a configuration file, each with the type that it must have.

use serde_json::{Map, Value};

use crate::error::{Error, Result, clip, clip_message};

/// The object in a file, or an object inside it.
pub(super) struct Settings<'a> {
    /// Its name in errors.
    name: String,
    keys: &'a Map<String, Value>,
}

/// Parses the object in a file.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(bytes).map_err(|e| malformed(name, clip_message(&e)))
}

impl<'a> Settings<'a> {
    /// The settings of the file `name`.
    pub fn of(name: &str, keys: &'a Map<String, Value>) -> Self {
        Self { name: name.to_owned(), keys }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The value of a key, if it is not null.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    pub fn keys(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.keys.iter()
    }

    /// # Errors
    /// [`Error::Unsupported`] for any other key, because it might change the vectors.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.keys.keys().find(|key| !known.contains(&key.as_str())) {
            Some(other) => Err(self.unsupported(other, "unknown here")),
            None => Ok(()),
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, "a string", Value::as_str)
    }

    /// # Errors
    /// [`Error::Unsupported`] if the key has another value than `word`.
    pub fn is_word(&self, key: &str, word: &str) -> Result<()> {
        // sentence-transformers treats a list of one in the same way.
        let one = |value: &Value| match value {
            Value::Array(list) if list.len() == 1 => list[0] == word,
            other => other == word,
        };
        match self.value(key) {
            Some(other) if !one(other) => Err(self.unsupported(key, &other.to_string())),
            _ => Ok(()),
        }
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A number that is at least 1.
    pub fn size(&self, key: &str) -> Result<Option<usize>> {
        let size = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        self.typed(key, "a whole number above 0", size)
    }

    pub fn inner(&self, key: &str) -> Result<Option<Self>> {
        let keys = self.typed(key, "an object", Value::as_object)?;
        Ok(keys.map(|keys| Self { name: format!("{}: {key}", self.name), keys }))
    }

    fn typed<T>(&self, key: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let wrong = || self.malformed(format!("{key} is not {what}"));
        self.value(key).map(|value| read(value).ok_or_else(wrong)).transpose()
    }

    pub fn malformed(&self, problem: String) -> Error {
        malformed(&self.name, problem)
    }

    pub fn unsupported(&self, key: &str, value: &str) -> Error {
        Error::Unsupported { what: self.unsupported_what(key, value), help: "Give a model that does without it".into() }
    }

    pub fn unsupported_what(&self, key: &str, value: &str) -> String {
        format!("{}: {} {}", self.name, clip(key), clip(value))
    }
}

pub(super) fn malformed(name: &str, problem: String) -> Error {
    Error::Config { file: name.into(), problem, help: "Give the files that were saved with the model".into() }
}
