//! A training run: files in, a trained model out, and everything that is needed to resume it.
//!
//! ```text
//! DIR/                      the model with the best evaluation, or the last one: a Hugging Face directory
//! DIR/run/config.json       the options of the run
//! DIR/run/metrics.jsonl     one line for each step and each evaluation
//! DIR/run/loss.svg, metrics.svg
//! DIR/run/checkpoint.safetensors   parameters, moments, and the position in the run
//! ```
//!
//! A new checkpoint replaces the old one in one step, after the model and the log that belong to it are on the disk. So a process may be killed at any
//! moment: a resumed run starts from the checkpoint, repeats the steps since then with the same bits, and writes the same files.

mod curves;
mod data;
mod examples;
mod log;
mod model;
mod options;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

pub use data::{Data, Task};
pub use log::StepLine;
pub use options::RunOptions;

use crate::config::ProblemType;
use crate::device::{BatchSizes, Cancel, Device};
use crate::error::{Error, Help, OptionName, Result, help};
use crate::files::write_atomically;
use crate::inputs::Inputs;
use crate::train::evaluation::Scores;
use crate::train::examples::collate::Collated;
use crate::train::examples::order;
use crate::train::trainer::schedule::Schedule;
use examples::Examples;
use log::Log;
use model::Model;
use store::{Best, Progress, Store, difference};

/// The settings of a run: what to train, on what, and where to save it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The task to learn.
    pub task: Task,
    /// A Hugging Face BERT directory, with any head or none; `None` for the embedded model.
    pub base: Option<PathBuf>,
    /// The base's name on the Hub, if it came from there. An adapter that is saved with it can find its base anywhere.
    pub base_name: Option<String>,
    /// The files to train on.
    pub data: Vec<PathBuf>,
    /// The files to evaluate on.
    pub eval: Vec<PathBuf>,
    /// The directory for the trained model.
    pub output: PathBuf,
    /// The options of the run.
    pub options: RunOptions,
    /// Whether to resume from the checkpoint in the output directory, if it has one.
    pub resume: bool,
}

/// An event of a run, reported while it happens.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A message for people.
    Notice(String),
    /// The run begins or continues.
    Started {
        /// The steps that were taken before.
        step: u64,
        /// The steps in total.
        steps: u64,
        /// The tokens still to read.
        tokens: u64,
    },
    /// A step is done.
    Step(StepLine),
    /// An evaluation begins.
    Evaluating,
    /// An evaluation is done.
    Evaluated {
        /// The step after which it ran.
        step: u64,
        /// The metrics, by name.
        scores: &'a Scores,
        /// Whether it is the best so far.
        is_best: bool,
    },
    /// The checkpoint of this step is on the disk.
    Checkpoint {
        /// The step after which it was saved.
        step: u64,
    },
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The steps taken.
    pub steps: u64,
    /// The epochs completed.
    pub epochs: u64,
    /// The tokens learnt from, in total.
    pub tokens: u64,
    /// The mean loss of the last steps.
    pub loss: Option<f64>,
    /// The step and the metrics of the best evaluation.
    pub best: Option<(u64, Scores)>,
    /// Whether it stopped because evaluations no longer improved.
    pub stopped_early: bool,
}

/// A training run.
#[derive(Debug)]
pub struct Run {
    setup: Setup,
    store: Store,
    log: Log,
    model: Model,
    examples: Examples,
    settings: Map<String, Value>,
    lengths: Vec<usize>,
    schedule: Schedule,
    tokens: u64,
    progress: Progress,
    /// The step of the last checkpoint, if there is one.
    saved: Option<u64>,
    best: Option<(u64, Scores)>,
}

/// The number of losses whose mean is reported at the end.
const LAST: usize = 50;

/// The remedy if training diverged.
fn diverged_help() -> Help {
    let start = "The last checkpoint and the best model are unchanged; start again with a smaller ";
    help!(start, OptionName("lr"), " or a longer ", OptionName("warmup"))
}

impl Run {
    /// Reads the data and the base, and takes the output directory. It does not train yet.
    ///
    /// # Errors
    /// [`Error::Option`] for options out of range, for an output directory with other contents, and for resuming a run
    /// with other options; [`Error::Data`] for files that do not fit the task; the errors of loading the model, and the
    /// device's errors.
    pub async fn open(setup: Setup, device: Arc<Device>, observe: &mut dyn FnMut(Event<'_>)) -> Result<Self> {
        let Setup { task, options, .. } = &setup;
        options.check()?;
        let mut inputs = Inputs::default();
        setup.base.iter().for_each(|base| inputs.add_model(base));
        setup.data.iter().chain(&setup.eval).for_each(|file| inputs.add(file));
        inputs.check("output", &setup.output)?;
        let mut data = Data::read(task, &setup.data, &setup.eval)?;
        for note in &data.notes {
            observe(Event::Notice(note.clone()));
        }
        check_metric(&setup, &data)?;
        let store = Store::open(&setup.output, setup.resume)?;
        let base = match &setup.base {
            Some(base) => base.clone(),
            None => embedded(&store)?,
        };
        let (kind, name) = (device.kind(), device.name());
        let notice = |text| observe(Event::Notice(text));
        let (mut model, tokenizer) = Model::open(
            (&base, setup.base_name.as_deref()),
            &setup.output,
            (task, &mut data),
            device,
            options.train.clone(),
            notice,
        )
        .await?;
        let mut settings = flat(&json!({
            "task": task.name(), "device": kind, "base": hex(model.fingerprint), "data": hex(data.fingerprint),
            "eval": data.eval_fingerprint.map(hex), "classes": data.classes.as_ref().map(|c| c.names()),
            "kernels": model.trainer.kernels(), "labels": data.kind.map(ProblemType::name),
        }));
        let columns = match task {
            Task::Classify { columns, .. } => columns.as_ref().map(ToString::to_string),
            Task::Tag { columns } => columns.as_ref().map(ToString::to_string),
            _ => None,
        };
        if let Some(columns) = columns {
            settings.insert("columns".into(), columns.into());
        }
        // Through JSON text, because a value would have the digits of an f32 as f64. The options are the trainer's,
        // because an existing adapter decides some of them.
        let options = &RunOptions { train: model.trainer.options().clone(), ..options.clone() };
        let told = serde_json::to_string(options).and_then(|text| serde_json::from_str(&text));
        settings.extend(flat(&told.map_err(|e| Error::io("write", "the options", e.into()))?));
        // These options do not change any result.
        settings.remove("checkpoint_every");
        settings.remove("train.checkpoint_activations");
        let examples = Examples::new(data, tokenizer, model.trainer.checkpoint().config(), options)?;

        let found = if setup.resume { store.read()? } else { None };
        let mut progress = Progress::default();
        if let Some(found) = &found {
            if let Some(difference) = difference(&found.settings, &settings) {
                return Err(Error::Option {
                    name: "resume",
                    problem: difference,
                    help: help!("Resume with the options of the first start, or give another ", OptionName("output")),
                });
            }
            progress = found.progress.clone();
            model.trainer.restore(progress.counters, |state| found.values(state))?;
            model.find_base_again(&setup.output)?;
        } else if setup.resume {
            observe(Event::Notice("there is no checkpoint yet: the run starts from the beginning".into()));
        }
        let log = Log::open(&store, progress.log)?;
        let mut about = settings.clone();
        about.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        about.insert("device_name".into(), name.into());
        about.insert("base_dir".into(), base.to_string_lossy().into());
        about.insert("checkpoint_every".into(), options.checkpoint_every.into());
        about.insert("train.checkpoint_activations".into(), options.train.checkpoint_activations.into());
        let text = serde_json::to_vec_pretty(&about).map_err(|e| Error::io("write", "config.json", e.into()))?;
        write_atomically(&store.path("config.json"), &text)?;

        let lengths = examples.lengths();
        let plan = Plan::of(&examples, &lengths, options);
        model.trainer.reserve(plan.largest).await?;
        let schedule = Schedule { peak: options.lr, warmup: options.warmup_steps(plan.steps), total: plan.steps };
        let saved = found.map(|found| found.progress.counters.steps);
        let best = log.best();
        let tokens = plan.tokens;
        Ok(Self { setup, store, log, model, examples, settings, lengths, schedule, tokens, progress, saved, best })
    }

    /// Whether the run has reached its end.
    pub fn is_finished(&self) -> bool {
        self.progress.is_finished
    }

    /// Trains to the end or until it is cancelled. In both cases it saves a checkpoint of the last step.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Diverged`] if a loss or a parameter is not finite: then the step is not taken,
    /// and the last checkpoint stays; [`Error::Io`]; the device's errors.
    pub async fn train(&mut self, observe: &mut dyn FnMut(Event<'_>), cancel: &Cancel) -> Result<Summary> {
        let steps = self.schedule.total;
        let tokens = self.tokens.saturating_sub(self.progress.tokens);
        observe(Event::Started { step: self.progress.counters.steps, steps, tokens });
        match self.steps(observe, cancel).await {
            Err(Error::Cancelled) => {
                self.model.trainer.forget_gradients();
                self.checkpoint(observe).await?;
                self.log.draw(&self.store)?;
                return Err(Error::Cancelled);
            }
            Err(Error::Diverged { step, problem, .. }) => {
                return Err(Error::Diverged { step, problem, help: diverged_help() });
            }
            other => other?,
        }
        // A finished run draws them too, because it may have been killed before it drew the last ones.
        self.log.draw(&self.store)?;
        let last = self.log.last_losses(LAST);
        Ok(Summary {
            steps: self.progress.counters.steps,
            epochs: self.progress.epoch,
            tokens: self.progress.tokens,
            loss: (!last.is_empty()).then(|| last.iter().map(|(_, loss)| loss).sum::<f64>() / last.len() as f64),
            best: self.best.clone(),
            stopped_early: self.progress.counters.steps < self.schedule.total,
        })
    }

    async fn steps(&mut self, observe: &mut dyn FnMut(Event<'_>), cancel: &Cancel) -> Result<()> {
        let options = self.setup.options.clone();
        let seed = options.train.seed;
        while !self.progress.is_finished {
            let batches = order::batches(&self.lengths, options.batch_tokens, seed, self.progress.epoch);
            let epoch = self.progress.epoch;
            while self.progress.epoch == epoch && !self.progress.is_finished {
                cancel.check()?;
                if !self.progress.is_due {
                    let rest = batches.get(self.progress.batch..).unwrap_or_default();
                    let group = rest.get(..options.accumulate.min(rest.len())).unwrap_or_default();
                    let share = (self.progress.batch + group.len()) as f64 / batches.len().max(1) as f64;
                    self.step(group, epoch as f64 + share, observe, cancel).await?;
                    self.progress.batch += group.len();
                    let is_end = self.progress.batch >= batches.len();
                    if is_end {
                        (self.progress.epoch, self.progress.batch) = (epoch + 1, 0);
                    }
                    let step = self.progress.counters.steps;
                    let is_time = options.eval_every.map_or(is_end, |every| step.is_multiple_of(every));
                    self.progress.is_due = is_time || step >= self.schedule.total;
                    if !self.progress.is_due && step.is_multiple_of(options.checkpoint_every) {
                        self.checkpoint(observe).await?;
                    }
                }
                if self.progress.is_due {
                    self.evaluate(observe, cancel).await?;
                    self.checkpoint(observe).await?;
                    self.log.draw(&self.store)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one optimizer step with the batches of `group`.
    async fn step(
        &mut self,
        group: &[Vec<usize>],
        epoch: f64,
        observe: &mut dyn FnMut(Event<'_>),
        cancel: &Cancel,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut batches = Vec::with_capacity(group.len());
        for batch in group {
            let features: Vec<_> =
                batch.iter().map(|i| self.examples.feature(*i, self.progress.epoch)).collect::<Result<_>>()?;
            batches.push(Collated::of(features.iter().map(AsRef::as_ref))?);
        }
        let counted: usize = batches.iter().map(|batch| batch.counted).sum();
        let trainer = &mut self.model.trainer;
        let step = trainer.steps() + 1;
        let rate = self.schedule.rate(trainer.steps());
        let (mut loss, mut tokens) = (0.0, 0);
        for batch in &batches {
            // The loss is the mean over all labels of the step.
            let share = batch.counted as f32 / counted.max(1) as f32;
            loss += trainer.accumulate(&batch.batch, &batch.labels(), share, cancel).await?;
            tokens += batch.batch.tokens() as u64;
        }
        let norm = trainer.update(rate).await?;
        self.progress.counters = trainer.counters();
        self.progress.tokens += tokens;
        let line = StepLine { step, epoch, loss, norm, lr: rate, tokens, seconds: begun.elapsed().as_secs_f64() };
        self.log.step(&line)?;
        observe(Event::Step(line));
        Ok(())
    }

    /// Evaluates the model and saves it if it is the best so far. Without evaluation data it always saves.
    async fn evaluate(&mut self, observe: &mut dyn FnMut(Event<'_>), cancel: &Cancel) -> Result<()> {
        let step = self.progress.counters.steps;
        if self.examples.has_eval() {
            observe(Event::Evaluating);
        }
        let scores = self.examples.evaluate(&mut self.model.trainer, cancel).await?;
        let is_best = match &scores {
            None => true,
            Some(scores) => {
                let value = self.measure(scores);
                self.progress.best.is_none_or(|best| value > f64::from_bits(best.bits))
            }
        };
        if is_best && let Err(error) = self.model.save(&self.setup.output).await {
            // The model could not be saved. A checkpoint may still fit into the run's own directory, so the training is
            // not lost. The evaluation is still due.
            if matches!(error, Error::Io { .. }) {
                let _ = self.checkpoint(observe).await;
            }
            return Err(error);
        }
        let progress = &mut self.progress;
        progress.since_best = if is_best { 0 } else { progress.since_best + 1 };
        let is_patient = self.setup.options.patience.is_none_or(|patience| progress.since_best < patience);
        progress.is_finished = !is_patient || step >= self.schedule.total;
        progress.is_due = false;
        if let Some(scores) = scores {
            self.log.evaluation(step, &scores, is_best)?;
            observe(Event::Evaluated { step, scores: &scores, is_best });
            if is_best {
                self.progress.best = Some(Best { step, bits: self.measure(&scores).to_bits() });
                self.best = Some((step, scores));
            }
        }
        Ok(())
    }

    /// The value of the deciding metric; greater is better.
    fn measure(&self, scores: &Scores) -> f64 {
        let main = scores.0.first().map_or("", |(name, _)| name);
        let name = self.setup.options.metric.as_deref().unwrap_or(main);
        let value = scores.get(name).expect("the metric was checked when the run began");
        if Scores::is_loss(name) { -value } else { value }
    }

    async fn checkpoint(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        self.progress.log = self.log.sync()?;
        self.store.write(&self.progress, &self.settings, &self.model.trainer).await?;
        let step = self.progress.counters.steps;
        self.saved = Some(step);
        observe(Event::Checkpoint { step });
        Ok(())
    }

    /// The step of the last checkpoint.
    pub fn saved(&self) -> Option<u64> {
        self.saved
    }
}

/// The numbers of a whole run.
#[derive(Default)]
struct Plan {
    steps: u64,
    tokens: u64,
    largest: BatchSizes,
}

impl Plan {
    fn of(examples: &Examples, lengths: &[usize], options: &RunOptions) -> Self {
        let mut plan = Plan::default();
        let most = options.max_steps.unwrap_or(u64::MAX);
        for epoch in 0..options.epochs {
            let batches = order::batches(lengths, options.batch_tokens, options.train.seed, epoch);
            for group in batches.chunks(options.accumulate.max(1)) {
                if plan.steps >= most {
                    return plan;
                }
                plan.steps += 1;
                for batch in group {
                    let sizes = examples.sizes(batch, lengths);
                    plan.tokens += u64::from(sizes.tokens);
                    let BatchSizes { tokens, sequences, longest, picked } = &mut plan.largest;
                    *tokens = sizes.tokens.max(*tokens);
                    *sequences = sizes.sequences.max(*sequences);
                    *longest = sizes.longest.max(*longest);
                    *picked = sizes.picked.max(*picked);
                }
            }
        }
        plan
    }
}

/// Writes the embedded model as a directory.
#[cfg(feature = "embedded-model")]
fn embedded(store: &Store) -> Result<PathBuf> {
    let dir = store.path("base");
    crate::embedded::write(&dir)?;
    Ok(dir)
}

#[cfg(not(feature = "embedded-model"))]
fn embedded(_: &Store) -> Result<PathBuf> {
    Err(Error::Option {
        name: "model",
        problem: "this build has no embedded model".into(),
        help: "Give a directory, or build with the feature embedded-model".into(),
    })
}

/// Checks the options that need evaluation data, or a metric that the task has.
fn check_metric(setup: &Setup, data: &Data) -> Result<()> {
    let Setup { options, .. } = setup;
    let wrong = |name, problem: String, help: Help| Err(Error::Option { name, problem, help });
    if setup.eval.is_empty() {
        let needs = [("metric", options.metric.is_some()), ("patience", options.patience.is_some())];
        return match needs.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => wrong(name, "there is nothing to measure on".into(), help!("Give ", OptionName("eval"))),
            None => Ok(()),
        };
    }
    let known = data.measures();
    match &options.metric {
        Some(metric) if !known.contains(&metric.as_str()) => wrong(
            "metric",
            format!("this task has no metric {:?}", crate::error::clip(metric)),
            format!("Give {}", known.join(", ")).into(),
        ),
        _ => Ok(()),
    }
}

/// Flattens nested objects: the name of an inner value is `a.b`.
fn flat(value: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => out.extend(flat(value).into_iter().map(|(inner, v)| (format!("{name}.{inner}"), v))),
            other => drop(out.insert(name.clone(), other.clone())),
        }
    }
    out
}

fn hex(sum: u64) -> String {
    format!("{sum:016x}")
}
