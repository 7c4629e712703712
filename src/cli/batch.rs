//! JSONL in, JSONL out: any number of inputs in memory that does not grow with them.
//!
//! A thread reads lines ahead, a few at most. They are worked on in chunks as large as keeps the model busy, or as are
//! there; each line of the input gives one line of the output, in the input's order, written before the next chunk is
//! begun. Whatever stops the work leaves whole lines behind, from which `--resume` goes on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use clap::Args;
use cloze::device::Cancel;
use cloze::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::Common;
use super::show;

/// Where inputs come from and results go.
#[derive(Debug, Args)]
pub struct Batch {
    /// Read inputs from a JSONL file, or `-` for stdin: an object a line with text, pair, question, context, id
    #[arg(long, value_name = "FILE", help_heading = "Batches")]
    pub input: Option<PathBuf>,
    /// Write results to a file, or `-` for stdout
    #[arg(long, value_name = "FILE", default_value = "-", help_heading = "Batches")]
    pub output: PathBuf,
    /// Go on where the output ends: skip the input lines whose results it holds
    #[arg(long, help_heading = "Batches")]
    pub resume: bool,
    /// Replace an output file that is there
    #[arg(long, conflicts_with = "resume", help_heading = "Batches")]
    pub overwrite: bool,
}

impl Batch {
    /// Refuses what would lose something: to write over what is read, or over results that are there. Called before the
    /// work begins.
    ///
    /// # Errors
    /// [`Error::Option`]
    pub fn check(&self) -> Result<()> {
        let refused = |name, problem: String, mend: &str| Err(Error::Option { name, problem, mend: mend.into() });
        let real = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
        if self.resume && self.input.is_none() {
            return refused("resume", "there is no batch to go on with".into(), "Give it with --input");
        }
        if self.output == Path::new("-") {
            return match self.resume {
                true => refused("resume", "stdout does not say what it holds".into(), "Give --output FILE"),
                false => Ok(()),
            };
        }
        let output = real(&self.output);
        if output.is_some() && output == self.input.as_deref().and_then(real) {
            return refused("output", format!("{} is the input", self.output.display()), "Give another file");
        }
        let filled = output.is_some_and(|path| path.metadata().is_ok_and(|found| found.len() > 0));
        if filled && !self.overwrite && !self.resume {
            let mend = "Give --resume to go on with a batch, --overwrite to replace it, or another name";
            return refused("output", format!("{} is there already", self.output.display()), mend);
        }
        Ok(())
    }
}

/// Bytes of an input line at most.
const MOST: u64 = 16 << 20;

/// Lines read ahead, and lines and bytes of a chunk.
const AHEAD: usize = 8;
const CHUNK_LINES: usize = 256;
const CHUNK_BYTES: usize = 32 << 10;

/// What an input line may hold.
#[derive(Debug, Default)]
pub struct Fields {
    pub text: Option<String>,
    pub pair: Option<String>,
    pub question: Option<String>,
    pub context: Option<String>,
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
    place: Place,
    fields: Result<Fields>,
}

/// Which line a result is for.
#[derive(Debug)]
pub struct Place {
    /// Its number, from 1.
    pub number: u64,
    /// Where it ends, in bytes of the input.
    end: u64,
    id: Option<Box<RawValue>>,
}

/// How a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    AllGood,
    /// Some lines have an error in place of a result.
    BadLines,
}

/// Runs the lines of `batch.input`: `parse` makes an input of a line's fields, `work` gives for each input the text of a
/// JSON array.
pub fn run<I>(
    batch: &Batch,
    common: &Common,
    parse: impl Fn(Fields) -> Result<I>,
    mut work: impl FnMut(&[I], &Cancel) -> Result<Vec<Result<String>>>,
) -> Result<Outcome> {
    let mut output = Output::open(batch)?;
    let mut bad = output.bad;
    let held = output.held;
    let done = each_chunk(batch, common, held, |lines, cancel| {
        for (place, result) in results(lines, &parse, |inputs| work(inputs, cancel))? {
            bad |= result.is_err();
            output.line(&place, result)?;
        }
        output.flush()
    });
    if let Err(Error::Cancelled) = done
        && batch.output != Path::new("-")
    {
        common.note(&format!("stopped: {} holds whole lines; --resume goes on", batch.output.display()));
    }
    done?;
    Ok(if bad { Outcome::BadLines } else { Outcome::AllGood })
}

/// A result or an error for each line; `work` is given the inputs of those that have one, all at once.
pub fn results<I, R>(
    lines: Vec<Line>,
    parse: impl Fn(Fields) -> Result<I>,
    work: impl FnOnce(&[I]) -> Result<Vec<Result<R>>>,
) -> Result<Vec<(Place, Result<R>)>> {
    let (mut inputs, mut places) = (Vec::new(), Vec::new());
    for Line { place, fields } in lines {
        match fields.and_then(&parse) {
            Ok(input) => {
                inputs.push(input);
                places.push((place, None));
            }
            Err(error) => places.push((place, Some(error))),
        }
    }
    let mut found = work(&inputs)?.into_iter();
    let mut result = |error: Option<Error>| match error {
        Some(error) => Err(error),
        None => found.next().unwrap_or_else(|| unreachable!("a result an input")),
    };
    Ok(places.into_iter().map(|(place, error)| (place, result(error))).collect())
}

/// Hands the input's lines after the first `skip` to `work`, some at a time, and shows how far it is.
pub fn each_chunk(
    batch: &Batch,
    common: &Common,
    skip: u64,
    mut work: impl FnMut(Vec<Line>, &Cancel) -> Result<()>,
) -> Result<()> {
    let path = batch.input.clone().unwrap_or_else(|| unreachable!("asked for by the caller"));
    let (input, length): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let file = File::open(&path).map_err(|e| Error::io("read", &path, e))?;
        let found = file.metadata().map_err(|e| Error::io("read", &path, e))?;
        if found.is_dir() {
            return Err(Error::io("read", &path, std::io::ErrorKind::IsADirectory.into()));
        }
        (Box::new(file), found.is_file().then_some(found.len()))
    };
    let cancel = interruptible()?;
    let (send, receive) = sync_channel(AHEAD);
    // Not joined: where the work stops early it may be waiting for a terminal.
    std::thread::spawn(move || read_lines(BufReader::new(input), &path, skip, &send));
    let bar = bar(length, common);
    while let Some(chunk) = next_chunk(&receive, &cancel)? {
        let (count, end) = (chunk.len() as u64, chunk.last().map_or(0, |line| line.place.end));
        work(chunk, &cancel)?;
        match length {
            Some(_) => bar.set_position(end),
            None => bar.inc(count),
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A token that Ctrl-C cancels; pressed again, it ends the program at once.
fn interruptible() -> Result<Cancel> {
    let cancel = Cancel::new();
    let held = cancel.clone();
    let handler = move || {
        if held.check().is_err() {
            std::process::exit(super::INTERRUPTED);
        }
        held.cancel();
    };
    ctrlc::set_handler(handler).map_err(|e| Error::io("watch", "Ctrl-C", std::io::Error::other(e)))?;
    Ok(cancel)
}

/// indicatif draws nothing where stderr is no terminal.
fn bar(length: Option<u64>, common: &Common) -> ProgressBar {
    if common.quiet {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left"),
        None => (ProgressBar::no_length(), "{pos} lines, {per_sec}, {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The next lines: those that are there, up to a chunk's worth, and at least one; nothing at the end.
fn next_chunk(receive: &Receiver<Result<Line>>, cancel: &Cancel) -> Result<Option<Vec<Line>>> {
    let mut chunk = Vec::new();
    let mut bytes = 0;
    while chunk.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
        cancel.check()?;
        // The reader is faster than the model: a short wait means that whoever writes the input is waiting for results.
        let patience = Duration::from_millis(if chunk.is_empty() { 100 } else { 5 });
        match receive.recv_timeout(patience) {
            Ok(line) => {
                let line = line?;
                bytes += line.bytes();
                chunk.push(line);
            }
            Err(RecvTimeoutError::Timeout) if chunk.is_empty() => {}
            Err(_) => break,
        }
    }
    Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
}

impl Line {
    fn bytes(&self) -> usize {
        let Ok(f) = &self.fields else { return 0 };
        [&f.text, &f.pair, &f.question, &f.context].into_iter().flatten().map(String::len).sum()
    }

    fn parse(number: u64, end: u64, bytes: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Raw<'a> {
            id: Option<Box<RawValue>>,
            #[serde(borrow)]
            text: Option<&'a RawValue>,
            #[serde(borrow)]
            pair: Option<&'a RawValue>,
            #[serde(borrow)]
            question: Option<&'a RawValue>,
            #[serde(borrow)]
            context: Option<&'a RawValue>,
        }
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = if number == 1 { bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes) } else { bytes };
        let malformed = |problem: String| Error::Input { problem, mend: "Give a JSON object a line".into() };
        let raw: Raw = match serde_json::from_slice(bytes) {
            Ok(raw) => raw,
            Err(e) => {
                let fields = Err(malformed(format!("the line is not such an object: {e}")));
                return Self { place: Place { number, end, id: None }, fields };
            }
        };
        let text = |name: &str, value: Option<&RawValue>| match value {
            None => Ok(None),
            Some(value) => serde_json::from_str(value.get())
                .map_err(|_| malformed(format!("{name:?} is not a string of Unicode text"))),
        };
        let fields = || {
            Ok(Fields {
                text: text("text", raw.text)?,
                pair: text("pair", raw.pair)?,
                question: text("question", raw.question)?,
                context: text("context", raw.context)?,
            })
        };
        Self { fields: fields(), place: Place { number, end, id: raw.id } }
    }
}

/// Sends every line after the first `skip`; ends when nobody listens.
fn read_lines(mut input: impl BufRead, path: &Path, skip: u64, send: &SyncSender<Result<Line>>) {
    let mut bytes = Vec::new();
    let mut end = 0;
    for number in 1.. {
        let read = read_line(&mut input, &mut bytes);
        let line = match read {
            Ok((0, _)) => return,
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
                Line { place: Place { number, end, id: None }, fields }
            }
            Err(e) => {
                let _ = send.send(Err(Error::io("read", path, e)));
                return;
            }
        };
        if send.send(Ok(line)).is_err() {
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

/// Where result lines go.
struct Output {
    sink: Box<dyn Write>,
    path: PathBuf,
    /// Result lines that were there before, and whether one of them is an error.
    held: u64,
    bad: bool,
}

impl Output {
    fn open(batch: &Batch) -> Result<Self> {
        let path = batch.output.clone();
        if path == Path::new("-") {
            return Ok(Self { sink: Box::new(std::io::stdout()), path: "stdout".into(), held: 0, bad: false });
        }
        let io = |e| Error::io("write", &path, e);
        let regular = std::fs::metadata(&path).map_or(true, |found| found.is_file());
        let mut options = OpenOptions::new();
        let mut file = options.read(regular).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let (mut held, mut bad) = (0, false);
        if regular && batch.overwrite {
            file.set_len(0).map_err(io)?;
        } else if regular {
            (held, bad) = what_is_held(&mut file, &path)?;
        }
        Ok(Self { sink: Box::new(BufWriter::new(file)), path, held, bad })
    }

    fn line(&mut self, place: &Place, result: Result<String>) -> Result<()> {
        let id = place.id.as_ref().map(|id| format!(r#","id":{}"#, id.get())).unwrap_or_default();
        let number = place.number;
        let rest = match result {
            Ok(array) => format!(r#""result":{array}"#),
            Err(error) => {
                let error = serde_json::json!({ "code": error.code(), "message": error.to_string() });
                format!(r#""error":{error}"#)
            }
        };
        writeln!(self.sink, r#"{{"line":{number}{id},{rest}}}"#).map_err(|e| Error::io("write", &self.path, e))
    }

    fn flush(&mut self) -> Result<()> {
        self.sink.flush().map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Bytes of a result line at most.
const MOST_HELD: u64 = 1 << 30;

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
        if bytes.last() != Some(&b'\n') && length < MOST_HELD {
            break;
        }
        match serde_json::from_slice::<Held>(&bytes) {
            Ok(found) if found.line == held + 1 => bad |= found.error.is_some(),
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

/// The results of one input that was given as an argument: an object a line.
pub fn single(batch: &Batch, objects: &[impl serde::Serialize]) -> Result<()> {
    if batch.output == Path::new("-") {
        return objects.iter().try_for_each(show::json);
    }
    let mut bytes = Vec::new();
    for object in objects {
        serde_json::to_writer(&mut bytes, object).map_err(|e| Error::io("write", &batch.output, e.into()))?;
        bytes.push(b'\n');
    }
    cloze::files::write_atomically(&batch.output, &bytes)
}
