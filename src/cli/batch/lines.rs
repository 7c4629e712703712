//! Lines in: read ahead by a thread, parsed, and handed out as many at a time as are there.

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

/// Bytes of an input line at most.
const MOST: u64 = 16 << 20;

/// Lines read ahead, and lines and bytes of a chunk.
const AHEAD: usize = 8;
pub const CHUNK_LINES: usize = 256;
const CHUNK_BYTES: usize = 32 << 10;

/// What an input line holds of what its command reads.
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
    /// A field that the command cannot do without.
    ///
    /// # Errors
    /// [`Error::Input`]
    pub fn need<T>(field: Option<T>, name: &str) -> Result<T> {
        field.ok_or_else(|| Error::Input {
            problem: format!("the line has no {name:?}"),
            help: format!("Give an object with {name:?}").into(),
        })
    }

    /// Takes what each field holds. A null stands for nothing.
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

/// Labels in an array, or in a string between commas, as `transformers` takes them.
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

/// A line's object as far as it concerns anyone: `id` as it is, the known fields unparsed, and what is wrong.
#[derive(Default)]
struct Raw<'a> {
    /// Also null is given back.
    id: Option<Box<RawValue>>,
    known: Vec<(&'static str, Role, &'a RawValue)>,
    /// The first unknown name that the command refuses.
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
    /// A sum over the input's lines up to here.
    pub sum: u64,
    pub id: Option<Box<RawValue>>,
}

/// Where a batch goes on.
#[derive(Debug, Default)]
pub struct Start {
    /// Lines whose results are there.
    pub skip: u64,
    /// What is known of the input that those results are of.
    pub marks: Vec<Mark>,
}

impl Start {
    /// Compares the input's lines so far with what they were.
    fn check(&self, number: u64, sum: u64) -> Result<()> {
        match self.marks.iter().find(|mark| mark.lines == number) {
            Some(mark) if mark.sum != sum => {
                Err(other_input(format!("its first {number} lines are not what they were")))
            }
            _ => Ok(()),
        }
    }

    /// The same at the input's end, after so many lines.
    fn check_end(&self, count: u64) -> Result<()> {
        match self.marks.last().map_or(0, |mark| mark.lines).max(self.skip) {
            most if most > count => Err(other_input(format!("it has {count} lines, and had {most} or more"))),
            _ => Ok(()),
        }
    }
}

/// The error of a batch that would go on with another input.
fn other_input(problem: String) -> Error {
    Error::Option {
        name: "resume",
        problem: format!("the input is not the one that the output is of: {problem}"),
        help: "Give the input that the output was begun with, or another --output".into(),
    }
}

/// Lines as the reading thread sends them; nothing is the end.
pub struct Lines {
    receive: Receiver<Result<Option<Line>>>,
    ended: bool,
}

impl Lines {
    /// Starts to read, from `start` on, what a command reads; errors call the input `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where the system grants no thread.
    pub fn read(input: impl BufRead + Send + 'static, path: PathBuf, start: Start, reads: Reads) -> Result<Self> {
        let (send, receive) = sync_channel(AHEAD);
        // Not joined: where the work stops early it may be waiting for a terminal.
        let reader =
            Builder::new().name("cloze-read".into()).spawn(move || read_lines(input, (&path, &start, reads), &send));
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
    fn parse(place: Place, line: &[u8], reads: Reads) -> Self {
        let bytes = if place.number == 1 { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line) } else { line };
        let bytes = bytes.trim_ascii();
        let object = match bytes.first() {
            Some(b'{') => {
                let mut from = serde_json::Deserializer::from_slice(bytes);
                let object = RawOf(reads).deserialize(&mut from).and_then(|raw| from.end().map(|()| raw));
                // The line it counts is within this one.
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

/// Sends every line after those that are skipped; ends when nobody listens.
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
                    // The last line may have got its end since.
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
