//! The log of a run: `metrics.jsonl`, with a line for each step and each evaluation, and the curves drawn from it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::curves::{Series, svg};
use super::store::Store;
use crate::error::{Error, Result};
use crate::files::{read_at_most, write_atomically};
use crate::train::evaluation::Scores;
use serde::{Deserialize, Serialize};

/// The log line of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// The number of the step, from 1.
    pub step: u64,
    /// The epoch, with its fraction.
    pub epoch: f64,
    /// The mean loss of the step's batches.
    pub loss: f64,
    /// The norm of all gradients together, before clipping.
    pub norm: f32,
    /// The learning rate.
    pub lr: f64,
    /// The tokens of the step's batches.
    pub tokens: u64,
    /// The duration of the step.
    pub seconds: f64,
}

/// The log line of an evaluation.
#[derive(Serialize, Deserialize)]
struct EvalLine<'a> {
    step: u64,
    eval: Cow<'a, Scores>,
    best: bool,
}

/// The largest log, in bytes.
const MAX_LOG: u64 = 1 << 30;

/// The open log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    sink: BufWriter<File>,
    bytes: u64,
    losses: Series,
    measures: Vec<Series>,
    best: Option<(u64, Scores)>,
}

impl Log {
    /// Opens the log of a run and cuts it to its first `bytes` bytes. The lines after them belong to steps that will be
    /// repeated.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(store: &Store, bytes: u64) -> Result<Self> {
        let path = store.path("metrics.jsonl");
        let io = |e| Error::io("write", &path, e);
        let file = File::options().create(true).read(true).write(true).truncate(false).open(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len().min(bytes);
        file.set_len(length).map_err(io)?;
        let kept = read_at_most(&file, &path, MAX_LOG)?;
        let losses = Series { name: "training".into(), points: Vec::new() };
        let mut log =
            Self { path, sink: BufWriter::new(file), bytes: length, losses, measures: Vec::new(), best: None };
        for line in kept.split(|b| *b == b'\n') {
            if let Ok(line) = serde_json::from_slice::<StepLine>(line) {
                log.losses.points.push((line.step as f64, line.loss));
            } else if let Ok(EvalLine { step, eval, best }) = serde_json::from_slice(line) {
                eval.0.iter().for_each(|(name, value)| log.point(name, step as f64, *value));
                if best {
                    log.best = Some((step, eval.into_owned()));
                }
            }
        }
        Ok(log)
    }

    /// The last evaluation that was the best so far.
    pub fn best(&self) -> Option<(u64, Scores)> {
        self.best.clone()
    }

    /// The steps and losses of the last steps, at most `most`.
    pub fn last_losses(&self, most: usize) -> &[(f64, f64)] {
        let points = &self.losses.points;
        points.get(points.len().saturating_sub(most)..).unwrap_or_default()
    }

    pub fn step(&mut self, line: &StepLine) -> Result<()> {
        self.losses.points.push((line.step as f64, line.loss));
        self.write(line)
    }

    pub fn evaluation(&mut self, step: u64, scores: &Scores, is_best: bool) -> Result<()> {
        scores.0.iter().for_each(|(name, value)| self.point(name, step as f64, *value));
        self.write(&EvalLine { step, eval: Cow::Borrowed(scores), best: is_best })
    }

    fn point(&mut self, name: &str, step: f64, value: f64) {
        match self.measures.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push((step, value)),
            None => self.measures.push(Series { name: name.into(), points: vec![(step, value)] }),
        }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let io = |e| Error::io("write", &self.path, e);
        let mut text = serde_json::to_vec(line).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        self.sink.write_all(&text).map_err(io)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Writes all lines to the disk and returns their number of bytes.
    pub fn sync(&mut self) -> Result<u64> {
        let io = |e| Error::io("write", &self.path, e);
        self.sink.flush().map_err(io)?;
        self.sink.get_ref().sync_data().map_err(io)?;
        Ok(self.bytes)
    }

    /// Draws `loss.svg`, and `metrics.svg` with the other metrics.
    pub fn draw(&self, store: &Store) -> Result<()> {
        let (loss, others): (Vec<_>, Vec<_>) = self.measures.iter().cloned().partition(|s| Scores::is_loss(&s.name));
        let evaluation =
            loss.into_iter().filter(|s| s.name == "loss").map(|s| Series { name: "evaluation".into(), ..s });
        let losses: Vec<Series> = std::iter::once(self.losses.clone()).chain(evaluation).collect();
        write_atomically(&store.path("loss.svg"), svg("Loss", "step", &losses).as_bytes())?;
        if others.is_empty() {
            return Ok(());
        }
        write_atomically(&store.path("metrics.svg"), svg("Evaluation", "step", &others).as_bytes())
    }
}
