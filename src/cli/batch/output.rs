//! Lines out: whole ones, whatever happens, and where an earlier run stopped.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cloze::{Error, Result};
use serde::Deserialize;

use super::{Batch, Place};
use crate::show;

/// Where result lines go.
pub struct Output {
    sink: Sink,
    path: PathBuf,
    /// Result lines that were there before, and whether one of them is an error.
    pub held: u64,
    pub bad: bool,
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

/// A file whose old contents are there until the first of the new is written: what stops a run before its first result, such
/// as a model that cannot be loaded, costs nothing.
struct Replacing {
    file: File,
    has_old: bool,
}

impl Replacing {
    fn drop_old(&mut self) -> std::io::Result<()> {
        if self.has_old {
            self.file.set_len(0)?;
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
    pub fn open(batch: &Batch) -> Result<Self> {
        let path = batch.output.clone();
        if path == Path::new("-") {
            return Ok(Self { sink: Sink::Stdout(std::io::stdout()), path: "stdout".into(), held: 0, bad: false });
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
        let has_old = regular && batch.overwrite;
        let (held, bad) = if regular && !has_old { what_is_held(&mut file, &path)? } else { (0, false) };
        Ok(Self { sink: Sink::File(BufWriter::new(Replacing { file, has_old })), path, held, bad })
    }

    pub fn line(&mut self, place: &Place, result: Result<String>) -> Result<()> {
        let id = place.id.as_ref().map(|id| format!(r#","id":{}"#, id.get())).unwrap_or_default();
        let number = place.number;
        let rest = match result {
            Ok(array) => format!(r#""result":{array}"#),
            Err(error) => {
                let error = serde_json::json!({ "code": error.code(), "message": error.to_string() });
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

    /// Says that all lines were written: none, where the input has none.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        match &mut self.sink {
            Sink::Stdout(_) => Ok(()),
            Sink::File(file) => file.get_mut().drop_old().map_err(|e| Error::io("write", &self.path, e)),
        }
    }
}

/// Bytes of a result line at most.
const MOST_HELD: u64 = 256 << 20;

/// How many result lines a file holds, and whether one of them is an error. A last line that was cut short is removed.
fn what_is_held(file: &mut File, path: &Path) -> Result<(u64, bool)> {
    #[derive(Deserialize)]
    struct Held {
        line: u64,
        error: Option<serde::de::IgnoredAny>,
    }
    let io = |e| Error::io("read", path, e);
    let (mut held, mut bad, mut end) = (0, false, 0);
    let mut lines = BufReader::new(&mut *file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let length = lines.by_ref().take(MOST_HELD).read_until(b'\n', &mut bytes).map_err(io)? as u64;
        let begins = format!(r#"{{"line":{},"#, held + 1).into_bytes();
        // Only what this program wrote is cut off.
        let ours = bytes.starts_with(&begins) || begins.starts_with(&bytes);
        if ours && bytes.last() != Some(&b'\n') && length < MOST_HELD {
            break;
        }
        match serde_json::from_slice::<Held>(&bytes) {
            Ok(found) if ours && found.line == held + 1 => bad |= found.error.is_some(),
            _ => {
                return Err(Error::Data {
                    file: path.display().to_string(),
                    problem: format!("line {} is not the result of input line {0}", held + 1),
                    mend: "Resume the output of the same command, or give another name".into(),
                });
            }
        }
        (held, end) = (held + 1, end + length);
    }
    file.set_len(end).map_err(io)?;
    file.seek(SeekFrom::End(0)).map_err(io)?;
    Ok((held, bad))
}

/// Whether two names stand for one file, by hard links too.
#[cfg(unix)]
pub fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Elsewhere files are not told apart cheaply; a file that is there is not written over unasked anyway.
#[cfg(not(unix))]
pub fn same_file(_: &Metadata, _: &Metadata) -> bool {
    false
}
