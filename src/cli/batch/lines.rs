//! Lines in: read ahead by a thread, parsed, and handed out as many at a time as are there.

use std::fs::{File, Metadata};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use cloze::device::Cancel;
use cloze::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of an input line at most.
const MOST: u64 = 16 << 20;

/// Lines read ahead, and lines and bytes of a chunk.
const AHEAD: usize = 8;
pub const CHUNK_LINES: usize = 256;
const CHUNK_BYTES: usize = 32 << 10;

/// What an input line may hold.
#[derive(Debug, Default)]
pub struct Fields {
    pub text: Option<String>,
    pub pair: Option<String>,
    pub question: Option<String>,
    pub context: Option<String>,
    pub query: Option<String>,
    pub texts: Option<Vec<String>>,
}

impl Fields {
    /// A field that the command cannot do without.
    ///
    /// # Errors
    /// [`Error::Input`]
    pub fn need(field: Option<String>, name: &str) -> Result<String> {
        field.ok_or_else(|| Error::Input {
            problem: format!("the line has no {name:?}"),
            mend: format!("Give an object with {name:?}"),
        })
    }
}

/// An input line.
#[derive(Debug)]
pub struct Line {
    pub place: Place,
    pub fields: Result<Fields>,
    /// Of the input: what it takes of memory, about.
    bytes: usize,
}

/// Which line a result is for.
#[derive(Debug)]
pub struct Place {
    /// Its number, from 1.
    pub number: u64,
    /// Where it ends, in bytes of the input.
    pub end: u64,
    pub id: Option<Box<RawValue>>,
}

/// Lines as the reading thread sends them; nothing is the end.
pub struct Lines {
    receive: Receiver<Result<Option<Line>>>,
    ended: bool,
}

impl Lines {
    /// Starts to read, after the first `skip` lines; errors call the input `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where the system grants no thread.
    pub fn read(input: impl BufRead + Send + 'static, path: PathBuf, skip: u64) -> Result<Self> {
        let (send, receive) = sync_channel(AHEAD);
        // Not joined: where the work stops early it may be waiting for a terminal.
        let reader = Builder::new().name("cloze-read".into()).spawn(move || read_lines(input, &path, skip, &send));
        reader.map_err(|e| Error::io("start", "the thread that reads the input", e))?;
        Ok(Self { receive, ended: false })
    }

    /// The next ones: those that are there, up to a chunk's worth, and at least one; nothing at the end.
    pub fn next_chunk(&mut self, most: usize, cancel: &Cancel) -> Result<Option<Vec<Line>>> {
        let mut chunk: Vec<Line> = Vec::new();
        let mut bytes = 0;
        while !self.ended && chunk.len() < most && bytes < CHUNK_BYTES {
            cancel.check()?;
            // The reader is faster than the model: a short wait means that whoever writes the input waits for results.
            let patience = Duration::from_millis(if chunk.is_empty() { 100 } else { 5 });
            match self.receive.recv_timeout(patience) {
                Ok(Ok(Some(line))) => {
                    bytes += line.bytes;
                    chunk.push(line);
                }
                Ok(Ok(None)) => self.ended = true,
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) if chunk.is_empty() => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::io("read", "the input", std::io::Error::other("its reader stopped")));
                }
            }
        }
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}

impl Line {
    fn parse(number: u64, end: u64, line: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Raw<'a> {
            // Also null is given back.
            #[serde(default, deserialize_with = "some")]
            id: Option<Box<RawValue>>,
            #[serde(borrow)]
            text: Option<&'a RawValue>,
            #[serde(borrow)]
            pair: Option<&'a RawValue>,
            #[serde(borrow)]
            question: Option<&'a RawValue>,
            #[serde(borrow)]
            context: Option<&'a RawValue>,
            #[serde(borrow)]
            query: Option<&'a RawValue>,
            #[serde(borrow)]
            texts: Option<&'a RawValue>,
        }
        fn some<'de, D: serde::Deserializer<'de>>(id: D) -> Result<Option<Box<RawValue>>, D::Error> {
            Box::deserialize(id).map(Some)
        }
        let bytes = if number == 1 { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line) } else { line };
        let bytes = bytes.trim_ascii();
        let malformed = |problem: String| Error::Input { problem, mend: "Give a JSON object a line".into() };
        let text = |name: &str, value: Option<&RawValue>| match value {
            None => Ok(None),
            Some(value) => serde_json::from_str(value.get())
                .map_err(|_| malformed(format!("{name:?} is not a string of Unicode text"))),
        };
        let texts = |value: Option<&RawValue>| match value {
            None => Ok(None),
            Some(value) => serde_json::from_str(value.get())
                .map_err(|_| malformed("\"texts\" is not an array of strings of Unicode text".into())),
        };
        let object = match bytes.first() {
            Some(b'{') => serde_json::from_slice::<Raw>(bytes)
                // The line it counts is within this one.
                .map_err(|e| malformed(format!("the line is not valid: {}", e.to_string().replace(" line 1", "")))),
            _ => Err(malformed("the line is not an object".into())),
        };
        let (id, fields) = match object {
            Err(error) => (None, Err(error)),
            Ok(raw) => {
                let fields = || {
                    Ok(Fields {
                        text: text("text", raw.text)?,
                        pair: text("pair", raw.pair)?,
                        question: text("question", raw.question)?,
                        context: text("context", raw.context)?,
                        query: text("query", raw.query)?,
                        texts: texts(raw.texts)?,
                    })
                };
                (raw.id.clone(), fields())
            }
        };
        Self { place: Place { number, end, id }, fields, bytes: line.len() }
    }
}

/// Sends every line after the first `skip`; ends when nobody listens.
fn read_lines(mut input: impl BufRead, path: &Path, skip: u64, send: &SyncSender<Result<Option<Line>>>) {
    let mut bytes = Vec::new();
    let mut end = 0;
    for number in 1.. {
        let read = read_line(&mut input, &mut bytes);
        let line = match read {
            Ok((0, _)) => {
                let _ = send.send(Ok(None));
                return;
            }
            Ok((length, _)) if number <= skip => {
                end += length;
                continue;
            }
            Ok((length, true)) => {
                end += length;
                Line::parse(number, end, &bytes)
            }
            Ok((length, false)) => {
                end += length;
                let problem = format!("the line is longer than {MOST} bytes");
                let fields = Err(Error::Input { problem, mend: "Give it in parts".into() });
                Line { place: Place { number, end, id: None }, fields, bytes: 0 }
            }
            Err(e) => {
                let _ = send.send(Err(Error::io("read", path, e)));
                return;
            }
        };
        if send.send(Ok(Some(line))).is_err() {
            return;
        }
    }
}

/// Reads a line into `bytes`: its length, and whether all of it is there. What is too long is read and dropped.
fn read_line(input: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<(u64, bool)> {
    bytes.clear();
    let mut length = input.by_ref().take(MOST + 1).read_until(b'\n', bytes)? as u64;
    if length <= MOST || bytes.last() == Some(&b'\n') {
        return Ok((length, true));
    }
    bytes.clear();
    bytes.shrink_to(1 << 16);
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok((length, false));
        }
        let stop = available.iter().position(|b| *b == b'\n');
        let used = stop.map_or(available.len(), |at| at + 1);
        input.consume(used);
        length += used as u64;
        if stop.is_some() {
            return Ok((length, false));
        }
    }
}

/// What stdin was redirected from.
pub fn stdin_metadata() -> Option<Metadata> {
    #[cfg(unix)]
    return File::from(std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().ok()?).metadata().ok();
    #[cfg(not(unix))]
    None
}

/// Whether the input can be read. A pipe is not opened for that: whoever writes to it would notice.
pub fn look_at_input(path: &Path) -> Result<Metadata> {
    let io = |e| Error::io("read", path, e);
    let found = std::fs::metadata(path).map_err(io)?;
    if found.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    if found.is_file() {
        File::open(path).map_err(io)?;
    }
    Ok(found)
}
