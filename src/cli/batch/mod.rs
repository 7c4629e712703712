//! Processes JSON lines: any number of inputs in constant memory.
//!
//! A thread reads a few lines ahead (`lines`). The lines are processed in chunks: as many as keep the model busy, or fewer if no more have arrived.
//! Each input line gives one output line, in the same order, which is written before the next chunk starts (`output`). An interruption therefore leaves whole
//! lines. `--resume` continues after them, if the command, options, model and input are the same (`record`).

mod lines;
mod output;
mod record;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use cloze::device::Cancel;
use cloze::fields::Reads;
use cloze::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::common::Common;
use super::show;
pub use lines::{Fields, Line, Place, Start};
use lines::{Lines, look_at_input, stdin_metadata};
use output::{Output, same_file};
use record::Mark;

/// Options for batches: the input file and the output file.
#[derive(Debug, Args)]
pub struct Batch {
    /// Read inputs from a JSONL file, or `-` for stdin: one object per line with text and optionally pair, or with question
    /// and context. Other names such as text_pair, sentence1 and premise work too. The output repeats id
    #[arg(long, value_name = "FILE", help_heading = "Batches")]
    pub input: Option<PathBuf>,
    /// Write results to a file, or `-` for stdout
    #[arg(long, value_name = "FILE", default_value = "-", help_heading = "Batches")]
    pub output: PathBuf,
    /// Continue an interrupted batch: skip the input lines that already have a result in the output
    #[arg(long, help_heading = "Batches")]
    pub resume: bool,
    /// Replace an existing output file
    #[arg(long, conflicts_with = "resume", help_heading = "Batches")]
    pub overwrite: bool,
}

impl Batch {
    /// Refuses an output that would overwrite an input, the model or existing results. Call it before the work begins.
    ///
    /// # Errors
    /// [`Error::Option`] names the file.
    pub fn check(&self, common: &Common) -> Result<()> {
        let refused = |name, problem: String, help: &str| Err(Error::Option { name, problem, help: help.into() });
        if self.resume && self.input.is_none() {
            return refused("resume", "there is no batch to continue".into(), "Give it with --input");
        }
        if self.output == Path::new("-") {
            return match self.resume {
                true => refused("resume", "a batch on stdout cannot be continued".into(), "Give --output FILE"),
                false => Ok(()),
            };
        }
        let there = std::fs::metadata(&self.output).ok().filter(|found| found.is_file());
        if let (Some(output), Some(input)) = (&there, &self.input) {
            // An unreadable input is reported before anything is overwritten.
            let found = if input == Path::new("-") { stdin_metadata() } else { Some(look_at_input(input)?) };
            if found.is_some_and(|input| same_file(&input, output)) {
                return refused("output", format!("{} is the input", self.output.display()), "Give another file");
            }
        }
        if there.is_some_and(|found| found.len() > 0) && !self.overwrite && !self.resume {
            let help = "Give --resume to go on with a batch, --overwrite to replace it, or another name";
            return refused("output", format!("{} is there already", self.output.display()), help);
        }
        common.inputs()?.check("output", &self.output)
    }
}

/// The approximate number of result objects that a chunk holds at once.
const CHUNK_ROWS: usize = 100_000;

/// The outcome of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    AllGood,
    /// Some lines have an error instead of a result.
    BadLines,
}

/// Processes the lines of `batch.input`. `parse` makes an input from the fields. `work` returns the text of a JSON
/// array for each input, of about `rows` objects.
pub fn run<I>(
    batch: &Batch,
    common: &Common,
    rows: usize,
    (reads, parse): (Reads, impl Fn(Fields) -> Result<I>),
    mut work: impl FnMut(&[I], &Cancel) -> Result<Vec<Result<String>>>,
) -> Result<Outcome> {
    let mut output = Output::open(batch, common)?;
    let mut bad = output.bad;
    let done = each_chunk(batch, common, (output.start(), reads), rows, |lines, cancel| {
        let last = lines.last().map(|Line { place, .. }| Mark { lines: place.number, sum: place.sum });
        let mut is_marked = false;
        for (place, result) in results(lines, &parse, |inputs| work(inputs, cancel))? {
            if let Some(last) = last.filter(|_| !std::mem::replace(&mut is_marked, true)) {
                output.mark(last, common)?;
            }
            bad |= result.is_err();
            output.line(&place, result)?;
        }
        output.flush()
    });
    if let Err(Error::Option { name: "resume", .. }) = done {
        output.take_back()?;
    }
    if let Err(Error::Cancelled) = done
        && batch.output != Path::new("-")
    {
        common.note(&format!("stopped: {} holds whole lines; --resume goes on", batch.output.display()));
    }
    done?;
    output.finish()?;
    Ok(if bad { Outcome::BadLines } else { Outcome::AllGood })
}

/// A result or an error for each line. `work` gets all valid inputs at once.
pub fn results<I, R>(
    lines: Vec<Line>,
    parse: impl Fn(Fields) -> Result<I>,
    work: impl FnOnce(&[I]) -> Result<Vec<Result<R>>>,
) -> Result<Vec<(Place, Result<R>)>> {
    let (mut inputs, mut places) = (Vec::new(), Vec::new());
    for Line { place, fields, .. } in lines {
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
        None => found.next().expect("one result for one input"),
    };
    Ok(places.into_iter().map(|(place, error)| (place, result(error))).collect())
}

/// Calls `work` with the input's lines from `start` on, several at a time, and shows the progress. Each line gives
/// about `rows` objects, which are held until they are written.
pub fn each_chunk(
    batch: &Batch,
    common: &Common,
    (start, reads): (Start, Reads),
    rows: usize,
    mut work: impl FnMut(Vec<Line>, &Cancel) -> Result<()>,
) -> Result<()> {
    let path = batch.input.clone().expect("the caller has an input");
    let (input, length): (Box<dyn std::io::Read + Send>, _) = if path == Path::new("-") {
        (Box::new(std::io::stdin()), None)
    } else {
        let found = look_at_input(&path)?;
        let file = File::open(&path).map_err(|e| Error::io("read", &path, e))?;
        (Box::new(file), found.is_file().then_some(found.len()))
    };
    let cancel = interruptible()?;
    let mut read = Lines::read(BufReader::new(input), path, start, reads)?;
    let bar = bar(length, common);
    let most = (CHUNK_ROWS / rows.max(1)).clamp(1, lines::CHUNK_LINES);
    while let Some(chunk) = read.next_chunk(most, &cancel)? {
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

/// A token that Ctrl-C or SIGTERM cancels. A second signal ends the program at once.
pub fn interruptible() -> Result<Cancel> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let end_at_once = flag::register_conditional_shutdown(signal, super::INTERRUPTED, flag.clone());
        let watched = end_at_once.and_then(|_| flag::register(signal, flag.clone()));
        watched.map_err(|e| Error::io("watch", "for Ctrl-C and SIGTERM", e))?;
    }
    Ok(Cancel::by(flag))
}

/// A progress bar. indicatif draws nothing if stderr is not a terminal.
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

/// Writes the results of a single input from the arguments, one object on each line.
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
