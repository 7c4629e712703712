//! Reads input lines: a thread reads ahead, and the lines are parsed and processed as they arrive.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use cloze::device::Cancel;
use cloze::fields::{self, Reads, Role};
use cloze::fingerprint::Fingerprint;
use cloze::{Error, Result};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::record::Mark;

/// The most bytes of an input line.
const MOST: u64 = 16 << 20;

/// The number of lines to read ahead, and the lines and bytes of a chunk.
const AHEAD: usize = 8;
pub const CHUNK_LINES: usize = 256;
const CHUNK_BYTES: usize = 32 << 10;

/// The fields of an input line that its command reads.
#[derive(Debug, Default)]
pub struct Fields {
    pub text: Option<String>,
    pub pair: Option<String>,
    pub question: Option<String>,
    pub context: Option<String>,
    pub labels: Option<Vec<String>>,
    pub query: Option<String>,
    pub texts: Option<Vec<String>>,
}

impl Fields {
    /// A field that the command needs.
    ///
    /// # Errors
    /// [`Error::Input`] if it is missing.
    pub fn need<T>(field: Option<T>, name: &str) -> Result<T> {
        field.ok_or_else(|| Error::Input {
            problem: format!("the line has no {name:?}"),
            help: format!("Give an object with {name:?}").into(),
        })
    }

    /// Converts the fields. A null means that the field is missing.
    fn of(raw: &Raw<'_>, reads: Reads) -> Result<Self> {
        let mut fields = Self::default();
        if let Some(problem) = &raw.problem {
            return Err(malformed(problem.clone()));
        }
        let known: Vec<_> = raw.known.iter().filter(|(.., value)| value.get() != "null").collect();
        let names: Vec<(&str, Role)> = known.iter().map(|(name, role, _)| (*name, *role)).collect();
        for (role, name) in reads.assign(&names)? {
            let Some((.., value)) = known.iter().find(|(known, ..)| *known == name) else { continue };
            match role {
                Role::Text => fields.text = Some(text(name, value)?),
                Role::Pair => fields.pair = Some(text(name, value)?),
                Role::Question => fields.question = Some(text(name, value)?),
                Role::Context => fields.context = Some(text(name, value)?),
                Role::Labels => fields.labels = Some(labels(name, value)?),
                Role::Query => fields.query = Some(text(name, value)?),
                Role::Texts => fields.texts = Some(texts(name, value)?),
            }
        }
        match &raw.unknown {
            Some(name) => reads.check_unknown(name).map(|()| fields),
            None => Ok(fields),
        }
    }
}

fn malformed(problem: String) -> Error {
    Error::Input { problem, help: "Give a JSON object a line".into() }
}

fn text(name: &str, value: &RawValue) -> Result<String> {
    serde_json::from_str(value.get()).map_err(|_| Error::Input {
        problem: format!("{name:?} is not a string of Unicode text"),
        help: match value.get().as_bytes() {
            [b'{', ..] => "Give the fields of its object on the line itself".into(),
            _ => "Give a JSON object a line".into(),
        },
    })
}

fn texts(name: &str, value: &RawValue) -> Result<Vec<String>> {
    serde_json::from_str(value.get()).map_err(|_| Error::Input {
        problem: format!("{name:?} is not an array of strings of Unicode text"),
        help: "Give a JSON object a line".into(),
    })
}

/// Labels in an array, or in a string with commas, which `transformers` also accepts.
fn labels(name: &str, value: &RawValue) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Labels {
        Listed(Vec<String>),
        Joined(String),
    }
    let trimmed = |label: &str| Some(label.trim().to_owned()).filter(|label| !label.is_empty());
    match serde_json::from_str(value.get()) {
        Ok(Labels::Listed(names)) => Ok(names.iter().filter_map(|name| trimmed(name)).collect()),
        Ok(Labels::Joined(names)) => Ok(names.split(',').filter_map(trimmed).collect()),
        Err(_) => Err(Error::Input {
            problem: format!("{name:?} is not an array of strings"),
            help: "Give [\"one\", \"another\"]".into(),
        }),
    }
}

/// The object of a line: `id` unchanged, the known fields unparsed, and the fault, if there is one.
#[derive(Default)]
struct Raw<'a> {
    /// The output also repeats null.
    id: Option<Box<RawValue>>,
    known: Vec<(&'static str, Role, &'a RawValue)>,
    /// The first unknown name, if the command refuses it.
    unknown: Option<String>,
    problem: Option<String>,
}

/// Reads a [`Raw`].
struct RawOf(Reads);

impl<'de> Visitor<'de> for RawOf {
    type Value = Raw<'de>;

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let is_twice = if name == "id" {
                raw.id.replace(map.next_value()?).is_some()
            } else if let Some((name, role)) = fields::role(&name) {
                let is_twice = raw.known.iter().any(|(known, ..)| *known == name);
                let value = map.next_value()?;
                if !is_twice {
                    raw.known.push((name, role, value));
                }
                is_twice
            } else {
                map.next_value::<IgnoredAny>()?;
                if raw.unknown.is_none() && self.0.check_unknown(&name).is_err() {
                    raw.unknown = Some(name.clone().into_owned());
                }
                false
            };
            if is_twice && raw.problem.is_none() {
                raw.problem = Some(format!("the line has {name:?} twice"));
            }
        }
        Ok(raw)
    }
}

impl<'de> DeserializeSeed<'de> for RawOf {
    type Value = Raw<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Raw<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

/// An input line.
#[derive(Debug)]
pub struct Line {
    pub place: Place,
    pub fields: Result<Fields>,
    /// The approximate memory of the input.
    bytes: usize,
}

/// The line that a result belongs to.
#[derive(Debug)]
pub struct Place {
    /// Its number, from 1.
    pub number: u64,
    /// The end of the line, in bytes of the input.
    pub end: u64,
    /// A sum over the input's lines up to this one.
    pub sum: u64,
    pub id: Option<Box<RawValue>>,
}

/// The position at which a batch continues.
#[derive(Debug, Default)]
pub struct Start {
    /// The number of lines that already have results.
    pub skip: u64,
    /// The known sums over the input of those results.
    pub marks: Vec<Mark>,
}

impl Start {
    /// Compares the sum over the lines so far with the known sum.
    fn check(&self, number: u64, sum: u64) -> Result<()> {
        match self.marks.iter().find(|mark| mark.lines == number) {
            Some(mark) if mark.sum != sum => {
                Err(other_input(format!("its first {number} lines are not what they were")))
            }
            _ => Ok(()),
        }
    }

    /// The same at the end of the input, after `count` lines.
    fn check_end(&self, count: u64) -> Result<()> {
        match self.marks.last().map_or(0, |mark| mark.lines).max(self.skip) {
            most if most > count => Err(other_input(format!("it has {count} lines, and had {most} or more"))),
            _ => Ok(()),
        }
    }
}

/// The error if a batch would continue with another input.
fn other_input(problem: String) -> Error {
    Error::Option {
        name: "resume",
        problem: format!("the input is not the one that the output is of: {problem}"),
        help: "Give the input that the output was begun with, or another --output".into(),
    }
}

/// The lines from the reading thread; `None` is the end.
pub struct Lines {
    receive: Receiver<Result<Option<Line>>>,
    ended: bool,
}

impl Lines {
    /// Starts to read the fields of a command, from `start` on; `path` is the input's name in errors.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses a thread.
    pub fn read(input: impl BufRead + Send + 'static, path: PathBuf, start: Start, reads: Reads) -> Result<Self> {
        let (send, receive) = sync_channel(AHEAD);
        // The thread is not joined, because it may be waiting for a terminal when the work stops early.
        let reader =
            Builder::new().name("cloze-read".into()).spawn(move || read_lines(input, (&path, &start, reads), &send));
        reader.map_err(|e| Error::io("start", "the thread that reads the input", e))?;
        Ok(Self { receive, ended: false })
    }

    /// The next lines that have arrived: at least one, and at most a chunk; `None` at the end.
    pub fn next_chunk(&mut self, most: usize, cancel: &Cancel) -> Result<Option<Vec<Line>>> {
        let mut chunk: Vec<Line> = Vec::new();
        let mut bytes = 0;
        while !self.ended && chunk.len() < most && bytes < CHUNK_BYTES {
            cancel.check()?;
            // The reader is faster than the model. So after a short wait, the writer of the input is waiting for
            // results.
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
    fn parse(place: Place, line: &[u8], reads: Reads) -> Self {
        let bytes = if place.number == 1 { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line) } else { line };
        let bytes = bytes.trim_ascii();
        let object = match bytes.first() {
            Some(b'{') => {
                let mut from = serde_json::Deserializer::from_slice(bytes);
                let object = RawOf(reads).deserialize(&mut from).and_then(|raw| from.end().map(|()| raw));
                // The error counts lines within this one.
                object
                    .map_err(|e| malformed(format!("the line is not valid: {}", e.to_string().replace(" line 1", ""))))
            }
            _ => Err(malformed("the line is not an object".into())),
        };
        let (id, fields) = match object {
            Err(error) => (None, Err(error)),
            Ok(raw) => {
                let fields = Fields::of(&raw, reads);
                (raw.id, fields)
            }
        };
        Self { place: Place { id, ..place }, fields, bytes: line.len() }
    }
}

/// Sends every line after the skipped ones. It ends when the receiver is gone.
fn read_lines(
    mut input: impl BufRead,
    (path, start, reads): (&Path, &Start, Reads),
    send: &SyncSender<Result<Option<Line>>>,
) {
    let mut bytes = Vec::new();
    let mut end = 0;
    let mut sum = Fingerprint::new();
    for number in 1.. {
        let line = match read_line(&mut input, &mut bytes) {
            Ok((0, _)) => {
                let _ = send.send(start.check_end(number - 1).map(|()| None));
                return;
            }
            Ok((length, is_whole)) => {
                end += length;
                match is_whole {
                    // The last line may have got its line end since.
                    true => sum.add(bytes.trim_ascii()),
                    false => sum.add(&length.to_le_bytes()),
                }
                let checked = start.check(number, sum.value());
                if checked.is_ok() && number <= start.skip {
                    continue;
                }
                let place = Place { number, end, sum: sum.value(), id: None };
                let too_long = || Error::Input {
                    problem: format!("the line is longer than {MOST} bytes"),
                    help: "Give it in parts".into(),
                };
                checked.map(|()| match is_whole {
                    true => Line::parse(place, &bytes, reads),
                    false => Line { place, fields: Err(too_long()), bytes: 0 },
                })
            }
            Err(e) => Err(Error::io("read", path, e)),
        };
        let is_last = line.is_err();
        if send.send(line.map(Some)).is_err() || is_last {
            return;
        }
    }
}

/// Reads a line into `bytes`. Returns its length, and whether it is complete. A line that is too long is read and
/// dropped.
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

/// The file that stdin was redirected from.
pub fn stdin_metadata() -> Option<Metadata> {
    #[cfg(unix)]
    return File::from(std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().ok()?).metadata().ok();
    #[cfg(not(unix))]
    None
}

/// Checks that the input can be read. It does not open a pipe, because the writer would notice.
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
