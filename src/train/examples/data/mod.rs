//! Reads training data, from the bytes of a file to examples in the order of the file.
//!
//! A fault in a file is an [`Error::Data`] that names the line.

pub mod classify;
mod columns;
pub mod conll;
mod sentences;
mod table;
pub mod tag;
pub mod text;

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Help, Result, clip};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns separated by tabs, without quotes, as in GLUE.
    Tsv,
    /// Columns separated by commas, with quotes where necessary.
    Csv,
    /// A JSON object on each line.
    Jsonl,
    /// A token and its tag on each line, and empty lines between sentences.
    Conll,
}

impl Format {
    /// The format that a file's name implies.
    ///
    /// # Errors
    /// [`Error::Data`] if the name implies none.
    pub fn of(file: &str) -> Result<Self> {
        match Path::new(file).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("tsv" | "txt") => Ok(Format::Tsv),
            Some("csv") => Ok(Format::Csv),
            Some("jsonl" | "ndjson" | "json") => Ok(Format::Jsonl),
            Some("conll" | "conllu" | "conllx" | "bio" | "iob" | "iob2" | "bioes" | "bilou") => Ok(Format::Conll),
            _ => Err(Error::Data {
                file: file.into(),
                problem: "its name does not tell its format".into(),
                help: "Give a file that ends in .tsv, .csv, .jsonl or .conll".into(),
            }),
        }
    }
}

/// A place in a file, for messages.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// The line, from 1; 0 for a place that is in no line.
    pub line: u64,
}

impl At<'_> {
    pub(crate) fn wrong(self, problem: impl std::fmt::Display, help: impl Into<Help>) -> Error {
        let problem = match self.line {
            0 => problem.to_string(),
            line => format!("line {line}: {problem}"),
        };
        Error::Data { file: self.file.into(), problem, help: help.into() }
    }
}

/// The lines of a text file with their numbers, with either kind of line ending, and without a byte order mark.
///
/// # Errors
/// [`Error::Data`] if a line is not UTF-8.
fn lines<'a>(file: &'a str, bytes: &'a [u8]) -> impl Iterator<Item = Result<(At<'a>, &'a str)>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut rest = bytes.split(|b| *b == b'\n').peekable();
    let mut line = 0;
    std::iter::from_fn(move || {
        let text = rest.next()?;
        if text.is_empty() && rest.peek().is_none() {
            return None;
        }
        line += 1;
        let at = At { file, line };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = std::str::from_utf8(text).map_err(|e| {
            let problem = format!("it is not UTF-8 at byte {} of the line", e.valid_up_to());
            at.wrong(problem, "Save the file as UTF-8")
        });
        Some(text.map(|text| (at, text)))
    })
}

/// The error for a file without examples.
fn empty(file: &str) -> Error {
    Error::Data { file: file.into(), problem: "it has no examples".into(), help: "Give a file with some".into() }
}

/// The classes that the labels name, in the order of their ids: by number if all are whole numbers, else by the
/// alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    names: Vec<String>,
    ids: HashMap<String, usize>,
}

impl Classes {
    /// The distinct classes among these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut both: Vec<_> = numbers.into_iter().zip(names).collect();
            both.sort_unstable();
            return Self::listed(both.into_iter().map(|(_, name)| name.to_owned()).collect());
        }
        Self::listed(names.into_iter().map(str::to_owned).collect())
    }

    /// The classes of a model, in the order of their ids.
    pub fn listed(names: Vec<String>) -> Self {
        let mut ids = HashMap::with_capacity(names.len());
        for (id, name) in names.iter().enumerate() {
            // Some models have two classes of one name. The first one is used.
            ids.entry(name.clone()).or_insert(id);
        }
        Self { names, ids }
    }

    /// The names, in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The id of a class.
    ///
    /// # Errors
    /// [`Error::Data`] if the data at `at` has a label that the training data lacks.
    pub fn id(&self, name: &str, at: At<'_>) -> Result<usize> {
        self.ids.get(name).copied().ok_or_else(|| self.unknown("", name, at))
    }

    /// The same for the tag of a word; `at` is the place of its sentence.
    ///
    /// # Errors
    /// As for [`id`](Self::id).
    pub fn id_of_tag(&self, tag: &str, at: At<'_>) -> Result<usize> {
        let place = if at.line > 0 { "in the sentence that begins here " } else { "" };
        self.ids.get(tag).copied().ok_or_else(|| self.unknown(place, tag, at))
    }

    fn unknown(&self, place: &str, name: &str, at: At<'_>) -> Error {
        let problem = format!("{place}the label {:?} does not occur in the training data", clip(name));
        at.wrong(problem, format!("Use {}", clip(&self.names.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_as_numbers_or_words() {
        assert_eq!(Classes::of(["10", "9", "10", "-1"]).names(), ["-1", "9", "10"]);
        assert_eq!(Classes::of(["10", "9", "b"]).names(), ["10", "9", "b"]);
        let classes = Classes::of(["no", "yes"]);
        let at = At { file: "dev.tsv", line: 3 };
        assert_eq!(classes.id("yes", at).unwrap(), 1);
        let error = classes.id("maybe", at).unwrap_err().to_string();
        assert!(error.starts_with("dev.tsv: line 3: the label \"maybe\" does not occur"), "{error}");
    }

    #[test]
    fn lines_have_numbers_and_neither_marks_nor_carriage_returns() {
        let bytes = "\u{feff}a\r\n\nb".as_bytes();
        let read: Vec<_> = lines("f", bytes).map(|l| l.map(|(at, text)| (at.line, text)).unwrap()).collect();
        assert_eq!(read, [(1, "a"), (2, ""), (3, "b")]);
        let error = lines("f.tsv", b"a\nb\xff\n").nth(1).unwrap().map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("f.tsv: line 2: it is not UTF-8 at byte 1"), "{error}");
        assert_eq!(lines("f", b"").count(), 0);
    }

    #[test]
    fn formats_by_name() {
        assert_eq!(Format::of("a/B.TSV").unwrap(), Format::Tsv);
        assert_eq!(Format::of("x.jsonl").unwrap(), Format::Jsonl);
        assert_eq!(Format::of("data").unwrap_err().code(), "data");
    }
}
