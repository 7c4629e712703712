//! Writes result lines, always whole ones, and finds where an earlier run stopped.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cloze::{Error, Result};
use serde::Deserialize;

use super::lines::Start;
use super::record::{Mark, Record};
use super::{Batch, Common, Place};
use crate::show;

/// The output for result lines.
pub struct Output {
    sink: Sink,
    path: PathBuf,
    /// The number of earlier result lines, and whether one of them is an error.
    held: u64,
    pub bad: bool,
    /// The record of a regular file: what its lines depend on, and the known sums over the input of earlier lines.
    record: Option<Record>,
    marks: Vec<Mark>,
    has_begun: bool,
}

enum Sink {
    Stdout(std::io::Stdout),
    File(BufWriter<Replacing>),
}

impl Sink {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Sink::Stdout(stdout) => stdout,
            Sink::File(file) => file,
        }
    }
}

/// A file that keeps its old contents until the first new line is written. So a failure before the first result, such
/// as a model that cannot be loaded, loses nothing.
struct Replacing {
    file: File,
    /// Where the new contents begin, and whether the old ones from there on are gone; `None` if it is not a regular
    /// file.
    begins: Option<u64>,
    has_old: bool,
}

impl Replacing {
    fn drop_old(&mut self) -> std::io::Result<()> {
        if let Some(begins) = self.begins.filter(|_| self.has_old) {
            self.file.set_len(begins)?;
            self.file.seek(SeekFrom::Start(begins))?;
            self.has_old = false;
        }
        Ok(())
    }
}

impl Write for Replacing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.drop_old()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Output {
    /// Opens the output and finds where it continues.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] if the file does not have results, [`Error::Option`] for results of another
    /// command.
    pub fn open(batch: &Batch, common: &Common) -> Result<Self> {
        let new = |sink, path: PathBuf, record| Self {
            sink,
            path,
            held: 0,
            bad: false,
            record,
            marks: Vec::new(),
            has_begun: false,
        };
        let path = batch.output.clone();
        if path == Path::new("-") {
            return Ok(new(Sink::Stdout(std::io::stdout()), "stdout".into(), None));
        }
        let io = |e| Error::io("write", &path, e);
        let regular = std::fs::metadata(&path).map_or(true, |found| found.is_file());
        let mut options = OpenOptions::new();
        let mut file = options.read(regular).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        if regular {
            file.try_lock().map_err(|e| match e {
                TryLockError::WouldBlock => io(std::io::Error::other("another run is writing it")),
                TryLockError::Error(e) => io(e),
            })?;
        }
        let into = |file, begins| Sink::File(BufWriter::new(Replacing { file, begins, has_old: true }));
        if !regular {
            return Ok(new(into(file, None), path, None));
        }
        let mut record = Record::of(&path, &common.settings()?);
        let mut held = Held::default();
        let mut marks = Vec::new();
        if !batch.overwrite {
            held = Held::of(&mut file, &path, u64::MAX)?;
        }
        if held.lines > 0 {
            marks = record.marks(&path)?;
            // After a power failure, lines that the record does not know are written again.
            let known = marks.last().map_or(0, |mark| mark.lines);
            if known < held.lines {
                held = Held::of(&mut file, &path, known)?;
            }
        }
        let output = new(into(file, Some(held.end)), path, Some(record));
        Ok(Self { held: held.lines, bad: held.has_errors, marks, ..output })
    }

    /// The position at which the input continues.
    pub fn start(&self) -> Start {
        Start { skip: self.held, marks: self.marks.clone() }
    }

    /// Records how far the input will have been processed with the next lines.
    pub fn mark(&mut self, mark: Mark, common: &Common) -> Result<()> {
        let io = |e| Error::io("write", &self.path, e);
        let (Some(record), Sink::File(file)) = (&mut self.record, &mut self.sink) else { return Ok(()) };
        if !self.has_begun {
            file.get_mut().drop_old().map_err(io)?;
            self.has_begun = true;
            let is_new = self.held == 0;
            match record.begin(is_new) {
                // The results are more important than the possibility to resume.
                Err(error) if is_new => {
                    common.note(&format!("--resume will not be possible: {}", show::message(&error)));
                    self.record = None;
                    return Ok(());
                }
                begun => begun?,
            }
        }
        record.mark(mark)
    }

    /// Removes what this run has written, because it comes from another input than the earlier results.
    pub fn take_back(&mut self) -> Result<()> {
        self.flush()?;
        let Sink::File(file) = &mut self.sink else { return Ok(()) };
        file.get_mut().has_old = self.has_begun;
        file.get_mut().drop_old().map_err(|e| Error::io("write", &self.path, e))?;
        let Some(record) = self.record.as_mut().filter(|_| self.has_begun) else { return Ok(()) };
        // Both marks are set, so that none of the other input remains.
        self.marks.iter().cycle().take(2).try_for_each(|mark| record.mark(*mark))
    }

    pub fn line(&mut self, place: &Place, result: Result<String>) -> Result<()> {
        let id = place.id.as_ref().map(|id| format!(r#","id":{}"#, id.get())).unwrap_or_default();
        let number = place.number;
        let rest = match result {
            Ok(array) => format!(r#""result":{array}"#),
            Err(error) => {
                let error = serde_json::json!({ "code": error.code(), "message": show::message(&error) });
                format!(r#""error":{error}"#)
            }
        };
        let text = format!(r#"{{"line":{number}{id},{rest}}}"#);
        let text = if matches!(self.sink, Sink::Stdout(_)) { show::json_text(&text) } else { text.as_str().into() };
        writeln!(self.sink.writer(), "{text}").map_err(|e| Error::io("write", &self.path, e))
    }

    pub fn flush(&mut self) -> Result<()> {
        self.sink.writer().flush().map_err(|e| Error::io("write", &self.path, e))
    }

    /// Records that all lines were written; there are none if the input is empty.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        match &mut self.sink {
            Sink::Stdout(_) => Ok(()),
            Sink::File(file) => file.get_mut().drop_old().map_err(|e| Error::io("write", &self.path, e)),
        }
    }
}

/// The most bytes of a result line.
const MOST_HELD: u64 = 256 << 20;

/// The result lines in a file: how many, whether one of them is an error, and where they end.
#[derive(Default)]
struct Held {
    lines: u64,
    has_errors: bool,
    end: u64,
}

impl Held {
    /// Counts the lines, but at most `most`. An incomplete last line does not count.
    fn of(file: &mut File, path: &Path, most: u64) -> Result<Self> {
        #[derive(Deserialize)]
        struct Line {
            line: u64,
            error: Option<serde::de::IgnoredAny>,
        }
        let io = |e| Error::io("read", path, e);
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut held = Self::default();
        let mut lines = BufReader::new(&mut *file);
        let mut bytes = Vec::new();
        while held.lines < most {
            bytes.clear();
            let length = lines.by_ref().take(MOST_HELD).read_until(b'\n', &mut bytes).map_err(io)? as u64;
            let begins = format!(r#"{{"line":{},"#, held.lines + 1).into_bytes();
            // Only a line of this program is cut off.
            let ours = bytes.starts_with(&begins) || begins.starts_with(&bytes);
            if ours && bytes.last() != Some(&b'\n') && length < MOST_HELD {
                break;
            }
            match serde_json::from_slice::<Line>(&bytes) {
                Ok(found) if ours && found.line == held.lines + 1 => held.has_errors |= found.error.is_some(),
                _ => {
                    return Err(Error::Data {
                        file: path.display().to_string(),
                        problem: format!("line {} is not the result of input line {0}", held.lines + 1),
                        help: "Resume the output of the same command, or give another name".into(),
                    });
                }
            }
            held.lines += 1;
            held.end += length;
        }
        Ok(held)
    }
}

/// Whether two names mean the same file, also through hard links.
#[cfg(unix)]
pub fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Other systems have no cheap way to compare files. An existing file is not overwritten without --overwrite anyway.
#[cfg(not(unix))]
pub fn same_file(_: &Metadata, _: &Metadata) -> bool {
    false
}
