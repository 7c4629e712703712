//! Records what the lines of an output depend on, so that `--resume` never mixes the results of two runs.
//!
//! The record of the output `NAME` is `.NAME.cloze`. It has a line of JSON with the command, its options and a sum over
//! the model's files. Two lines follow, each with a number of input lines and a sum over them. One of the two is
//! rewritten before the results of a chunk are written. So wherever a run stops, the end of the output lies between
//! these two, and the sum of the input is known for each.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cloze::files::{read_at_most, write_atomically};
use cloze::fingerprint::Fingerprint;
use cloze::{Error, Result};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::common::Common;

/// The largest record, in bytes.
const MOST: u64 = 1 << 20;

/// A position in the input: the number of lines, and a sum over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub lines: u64,
    pub sum: u64,
}

/// The bytes of a mark's line.
const MARK_BYTES: usize = 20 + 1 + 16 + 1 + 16 + 1;

impl Mark {
    fn line(self) -> String {
        format!("{:20} {:016x} {:016x}\n", self.lines, self.sum, self.check())
    }

    /// A checksum, which reveals a mark that was written only in part.
    fn check(self) -> u64 {
        let mut check = Fingerprint::new();
        check.add(&self.lines.to_le_bytes());
        check.add(&self.sum.to_le_bytes());
        check.value()
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
        let lines = words.next()?.parse().ok()?;
        let [sum, check] = [words.next()?, words.next()?].map(|word| u64::from_str_radix(word, 16).ok());
        let mark = Self { lines, sum: sum? };
        (Some(mark.check()) == check).then_some(mark)
    }
}

/// The record beside an output.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    settings: Vec<u8>,
    /// `None` until the first result is about to be written, and if the file cannot be written.
    file: Option<File>,
    /// The index of the mark that is written next.
    next: usize,
}

impl Record {
    /// The record of an output that exists or will exist.
    pub fn of(output: &Path, settings: &Arguments) -> Self {
        let target = output.canonicalize().unwrap_or_else(|_| output.to_owned());
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.cloze"));
        Self { path, settings: format!("{}\n", Value::Object(settings.clone())).into_bytes(), file: None, next: 0 }
    }

    /// The marks of the run that wrote the output, the earlier one first.
    ///
    /// # Errors
    /// [`Error::Option`] if there is no record, or if that run had other settings.
    pub fn marks(&mut self, output: &Path) -> Result<Vec<Mark>> {
        let refused = |problem: String, help: &str| Error::Option { name: "resume", problem, help: help.into() };
        const HELP: &str = "Give --overwrite to begin again, or another --output";
        let unknown = |why: &str| {
            let problem = format!("{why}, so nobody knows what {} was made of", output.display());
            refused(problem, HELP)
        };
        let Ok(file) = File::open(&self.path) else {
            let path = self.path.display();
            return Err(unknown(&format!("there is no {path}, which a run writes beside its output")));
        };
        let bytes = read_at_most(file, &self.path, MOST)?;
        let is_broken = || unknown(&format!("{} is damaged", self.path.display()));
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(is_broken)?;
        let (was, rest) = bytes.split_at(end + 1);
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Arguments>(bytes).map_err(|_| is_broken());
        if let Some(difference) = difference(&parsed(was)?, &parsed(&self.settings)?) {
            return Err(refused(difference, "Resume with what the output was begun with, or give another --output"));
        }
        let marks: Vec<Option<Mark>> = rest.chunks(MARK_BYTES).take(2).map(Mark::parse).collect();
        self.settings = was.to_vec();
        let lines = |at: usize| marks.get(at).copied().flatten().map(|mark| mark.lines);
        self.next = usize::from(lines(0) > lines(1));
        let mut marks: Vec<Mark> = marks.into_iter().flatten().filter(|mark| mark.lines > 0).collect();
        marks.sort_by_key(|mark| mark.lines);
        if marks.is_empty() {
            return Err(is_broken());
        }
        Ok(marks)
    }

    /// Creates the file, or opens it again if the output continues.
    ///
    /// # Errors
    /// [`Error::Io`] if a continued output would lose its record.
    pub fn begin(&mut self, is_new: bool) -> Result<()> {
        if is_new {
            let zero = Mark { lines: 0, sum: 0 }.line().into_bytes();
            write_atomically(&self.path, &[&self.settings, zero.as_slice(), &zero].concat())?;
        }
        let file = File::options().write(true).open(&self.path).map_err(|e| Error::io("write", &self.path, e))?;
        self.file = Some(file);
        Ok(())
    }

    /// Records how far the input will have been processed with the next lines.
    pub fn mark(&mut self, mark: Mark) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let at = self.settings.len() + self.next * MARK_BYTES;
        self.next = 1 - self.next;
        let write = file.seek(SeekFrom::Start(at as u64)).and_then(|_| file.write_all(mark.line().as_bytes()));
        write.map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Describes the differences between the settings of two runs.
fn difference(was: &Arguments, is: &Arguments) -> Option<String> {
    let text = |value: Option<&Value>| match value {
        None => "none".to_owned(),
        Some(value) => value.to_string().chars().take(100).collect(),
    };
    let names: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let parts = names.into_iter().filter(|name| was.get(*name) != is.get(*name)).map(|name| match name.as_str() {
        // These are fingerprints, which mean nothing to people.
        "model" | "context_file" => format!("the {} has changed", name.replace('_', "-")),
        _ => format!("{} was {}, now it is {}", name.replace('_', "-"), text(was.get(name)), text(is.get(name))),
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

impl Common {
    /// The settings of the command, and the fingerprint of its model.
    pub fn settings(&self) -> Result<Arguments> {
        let mut settings = self.arguments.clone();
        let sum = match self.model_dir()? {
            Some(dir) => of_directory(dir)?,
            None => format!("default of {}", env!("CARGO_PKG_VERSION")),
        };
        settings.insert("model".into(), sum.into());
        if let Some(Value::String(path)) = settings.get("context_file") {
            let mut sum = Fingerprint::new();
            add_file(&mut sum, Path::new(path))?;
            settings.insert("context_file".into(), format!("{:016x}", sum.value()).into());
        }
        Ok(settings)
    }
}

/// A sum over the files of a model and of its modules.
fn of_directory(dir: &Path) -> Result<String> {
    let list = |dir: &Path| -> Result<Vec<PathBuf>> {
        let read = || std::fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<Vec<_>>>();
        let mut paths = read().map_err(|e| Error::io("read", dir, e))?;
        paths.sort();
        Ok(paths)
    };
    let mut paths = Vec::new();
    for path in list(dir)? {
        // A training run keeps its checkpoints and its log there.
        if path.is_dir() && path.file_name() != Some("run".as_ref()) {
            paths.extend(list(&path)?)
        } else {
            paths.push(path)
        }
    }
    let is_of_model = |path: &PathBuf| {
        let end = path.extension().unwrap_or_default();
        ["json", "txt", "safetensors", "bin", "model"].iter().any(|known| end == *known) && path.is_file()
    };
    let mut sum = Fingerprint::new();
    for path in paths.iter().filter(|path| is_of_model(path)) {
        sum.add(path.strip_prefix(dir).unwrap_or(path).to_string_lossy().as_bytes());
        add_file(&mut sum, path)?;
    }
    Ok(format!("{:016x}", sum.value()))
}

fn add_file(sum: &mut Fingerprint, path: &Path) -> Result<()> {
    const PIECE: u64 = 1 << 20;
    let io = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(io)?;
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if Read::by_ref(&mut file).take(PIECE).read_to_end(&mut piece).map_err(io)? == 0 {
            return Ok(());
        }
        sum.add(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_half_written_is_none() {
        let mark = Mark { lines: 300, sum: u64::MAX };
        let line = mark.line();
        assert_eq!((line.len(), Mark::parse(line.as_bytes())), (MARK_BYTES, Some(mark)));
        let other = Mark { lines: 556, sum: 7 }.line();
        for at in 1..MARK_BYTES - 1 {
            let torn = format!("{}{}", &other[..at], &line[at..]);
            assert!(torn == line || torn == other || Mark::parse(torn.as_bytes()).is_none(), "{torn}");
        }
    }
}
