//! `cloze train`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use cloze::config::ProblemType;
use cloze::ops::adamw::AdamW;
use cloze::train::data::classify::Columns;
use cloze::train::data::conll::TagColumns;
use cloze::train::evaluate::Scores;
use cloze::train::run::{Event, Run, RunOptions, Setup, Summary, Task};
use cloze::train::{Adapters, Method, TrainOptions};
use cloze::{Error, Result};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::batch::interruptible;
use super::common::Common;
use super::show;

/// Fine-tune a model on your own examples.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze train classify --model microsoft/MiniLM-L12-H384-uncased --data train.tsv --eval dev.tsv --output out
  cloze train qa --data train-v1.1.json --eval dev-v1.1.json --output out --epochs 2
  cloze train tag --model ./bert --data train.conll --eval dev.conll --output out
  cloze train mlm --model ./bert --data books.txt --output out

The output directory is the trained model: use it with `cloze classify --model out 'A text.'`, or with
transformers. Its folder run/ contains config.json, metrics.jsonl, loss.svg, metrics.svg and the last
checkpoint. Ctrl-C and SIGTERM save a checkpoint. --resume continues from it, and gives the same bits
as an uninterrupted run.")]
pub struct TrainArgs {
    #[command(subcommand)]
    pub task: TrainTask,
}

#[derive(Debug, Subcommand)]
pub enum TrainTask {
    /// Answer questions from a text. Data: SQuAD 1.1 or 2.0 JSON.
    Qa(QaArgs),
    /// Classify or score texts or pairs of texts. Data: TSV, CSV or JSONL with text, label and optionally pair.
    ///
    /// Cloze recognizes GLUE's files by their columns.
    Classify(ClassifyArgs),
    /// Tag words. Data: CoNLL (one token and its tag per line), or JSONL with text and spans.
    ///
    /// Cloze finds out which columns hold the words and the tags, and prints its choice.
    Tag(TagArgs),
    /// Predict masked words. Data: plain text, one paragraph per line, empty lines between documents.
    Mlm(PlainArgs),
}

#[derive(Debug, Args)]
pub struct QaArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Context tokens that neighboring windows share [default: 128, or half a window]
    #[arg(long, value_name = "TOKENS")]
    pub doc_stride: Option<usize>,
}

#[derive(Debug, Args)]
pub struct ClassifyArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Names of the columns: text=NAME,label=NAME and optionally pair=NAME [default: the usual names]
    #[arg(long, value_name = "NAMES")]
    pub columns: Option<Columns>,
    /// Kind of labels [default: multi for lists, regression for numbers with fractions, otherwise single]
    #[arg(long, value_enum)]
    pub kind: Option<LabelKind>,
}

#[derive(Debug, Args)]
pub struct TagArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Columns of a CoNLL file, counted from 1: word=N,tag=N [default: found from the file's contents]
    #[arg(long, value_name = "NUMBERS")]
    pub columns: Option<TagColumns>,
}

#[derive(Debug, Args)]
pub struct PlainArgs {
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LabelKind {
    /// Exactly one of several classes
    Single,
    /// Any number of classes
    Multi,
    /// A number
    Regression,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub enum TrainMethod {
    /// All parameters
    #[default]
    Full,
    /// Biases and the head
    Bitfit,
    /// Only the head
    Head,
    /// Low-rank adapters beside the encoder's matrices; the output is an adapter in PEFT's format
    Lora,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Optimizer {
    /// PyTorch's AdamW
    #[default]
    Adamw,
    /// BERT's original: no bias correction of the moments, epsilon 1e-6
    Bert,
}

/// What every task takes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Training files, at most 1 GiB each
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Evaluation files; the best model is kept
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub eval: Vec<PathBuf>,
    /// Directory for the trained model, new or empty
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Continue from the checkpoint in the output directory; all other arguments must be the same
    #[arg(long)]
    pub resume: bool,
    /// Number of passes over the training data
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub epochs: u64,
    /// Stop after N steps, even if the epochs have more
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
    /// Maximum learning rate [default: 5e-5 for full, 1e-3 for lora, bitfit and head]
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Steps in which the learning rate rises to its maximum, before it falls to 0: a share of all steps if below 1,
    /// otherwise a number of steps
    #[arg(long, value_name = "SHARE|STEPS", default_value_t = 0.1)]
    pub warmup: f64,
    /// Weight decay per step, multiplied by the learning rate; biases and LayerNorm have none
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    pub weight_decay: f32,
    /// Maximum number of tokens in a batch
    #[arg(long, value_name = "TOKENS", default_value_t = 2048)]
    pub batch_tokens: usize,
    /// Number of batches whose gradients make one step
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accumulate: usize,
    /// Maximum number of tokens in a sequence; longer texts are truncated, or for qa divided into windows [default: the
    /// model's limit; 384 for qa, 128 for mlm]
    #[arg(long, value_name = "TOKENS")]
    pub max_seq_len: Option<usize>,
    /// Seed for the order of examples, dropout, masks and a new head; the same seed gives the same bits on a device
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Which parameters to train; the head is always trained
    #[arg(long, value_enum, default_value_t)]
    pub method: TrainMethod,
    /// Rank of the adapters [default: 8]
    #[arg(long, value_name = "R")]
    pub lora_r: Option<usize>,
    /// Scale of the adapters, multiplied by their rank [default: 16]
    #[arg(long, value_name = "X")]
    pub lora_alpha: Option<f32>,
    /// Dropout probability of an adapter's input [default: 0]
    #[arg(long, value_name = "P")]
    pub lora_dropout: Option<f32>,
    /// Layers that get adapters: query, key, value, attention.output.dense, intermediate.dense, output.dense, or dense
    /// for the last three [default: query,value]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub lora_targets: Option<Vec<String>>,
    /// Do not train the first N layers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub freeze_layers: usize,
    /// Do not train the embeddings: this is faster and takes less memory
    #[arg(long)]
    pub freeze_embeddings: bool,
    /// Recompute each layer's activations in the backward pass instead of storing them: less memory, more time, the same
    /// bits
    #[arg(long)]
    pub checkpoint_activations: bool,
    /// The optimizer
    #[arg(long, value_enum, default_value_t)]
    pub optimizer: Optimizer,
    /// Train without dropout, even if the model's configuration has it
    #[arg(long)]
    pub no_dropout: bool,
    /// Clip the norm of all gradients together to this value; 0 turns clipping off
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub max_grad_norm: f32,
    /// Stop after N evaluations without improvement
    #[arg(long, value_name = "N")]
    pub patience: Option<u64>,
    /// Metric that decides which model is best [default: f1 for qa, tag and several labels, accuracy for classes,
    /// pearson for scores, loss for mlm]
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Steps between evaluations, or between saved models if there are no evaluation files [default: one epoch]
    #[arg(long, value_name = "STEPS")]
    pub eval_every: Option<u64>,
    /// Steps between checkpoints, in addition to those at evaluations
    #[arg(long, value_name = "STEPS", default_value_t = 500)]
    pub checkpoint_every: u64,
}

impl RunArgs {
    fn options(&self, doc_stride: Option<usize>) -> Result<RunOptions> {
        let (method, lr) = match self.method {
            TrainMethod::Full => ("full", 5e-5),
            TrainMethod::Bitfit => ("bitfit", 1e-3),
            TrainMethod::Head => ("head", 1e-3),
            TrainMethod::Lora => ("lora", 1e-3),
        };
        let adapters = Adapters {
            r: self.lora_r,
            alpha: self.lora_alpha,
            dropout: self.lora_dropout,
            targets: self.lora_targets.as_ref().map(|names| names.iter().map(|name| name.trim().to_owned()).collect()),
        };
        let method = Method::named(method, adapters)?;
        let is_berts = matches!(self.optimizer, Optimizer::Bert);
        let eps = if is_berts { 1e-6 } else { 1e-8 };
        let optimizer = AdamW { beta1: 0.9, beta2: 0.999, eps, decay: self.weight_decay, max_norm: self.max_grad_norm };
        Ok(RunOptions {
            epochs: self.epochs,
            max_steps: self.max_steps,
            lr: self.lr.unwrap_or(lr),
            warmup: self.warmup,
            batch_tokens: self.batch_tokens,
            accumulate: self.accumulate,
            max_seq_len: self.max_seq_len,
            doc_stride,
            eval_every: self.eval_every,
            patience: self.patience,
            metric: self.metric.clone(),
            checkpoint_every: self.checkpoint_every,
            train: TrainOptions {
                method,
                freeze_layers: self.freeze_layers,
                freeze_embeddings: self.freeze_embeddings,
                dropout: !self.no_dropout,
                seed: self.seed,
                optimizer,
                corrects_bias: !is_berts,
                checkpoint_activations: self.checkpoint_activations,
            },
        })
    }
}

pub fn run(args: TrainArgs, common: &Common) -> Result<()> {
    let (task, args, doc_stride) = match args.task {
        TrainTask::Qa(QaArgs { run, doc_stride }) => (Task::QuestionAnswering, run, doc_stride),
        TrainTask::Classify(ClassifyArgs { run, columns, kind }) => {
            let kind = kind.map(|kind| match kind {
                LabelKind::Single => ProblemType::SingleLabel,
                LabelKind::Multi => ProblemType::MultiLabel,
                LabelKind::Regression => ProblemType::Regression,
            });
            (Task::Classify { columns, kind }, run, None)
        }
        TrainTask::Tag(TagArgs { run, columns }) => (Task::Tag { columns }, run, None),
        TrainTask::Mlm(PlainArgs { run }) => (Task::MaskedLm, run, None),
    };
    let options = args.options(doc_stride)?;
    options.check()?;
    let RunArgs { data, eval, output, resume, .. } = args;
    let base = common.model_dir()?.map(Path::to_owned);
    let device = common.open_device()?.device;
    // As everywhere, an existing path is a directory, not a name.
    let name = common.model.as_ref().filter(|model| !Path::new(model).exists());
    let base_name = name.map(|name| name.to_string_lossy().into_owned());
    let setup = Setup { task, base, base_name, data, eval, output: output.clone(), options, resume };
    let mut shown = Shown::new(common);
    let mut observe = |event: Event<'_>| shown.show(event);
    let begun = Instant::now();
    let mut run = cloze::block_on(Run::open(setup, device.into(), &mut observe))?;
    if run.is_finished() {
        common.note("the run is finished already");
    }
    let cancel = interruptible()?;
    let trained = cloze::block_on(run.train(&mut observe, &cancel));
    shown.bar.finish_and_clear();
    if matches!(trained, Err(Error::Cancelled)) {
        let step = run.saved().unwrap_or_default();
        common.note(&format!("stopped after step {step}: the same command with --resume goes on from there"));
    }
    let Summary { steps, epochs, tokens, loss, best, stopped_early } = trained?;
    let seconds = begun.elapsed().as_secs_f64();
    if common.json {
        let best = best.map(|(step, scores)| serde_json::json!({ "step": step, "scores": scores }));
        return show::json(&serde_json::json!({
            "output": output.to_string_lossy(), "steps": steps, "epochs": epochs, "tokens": tokens, "loss": loss,
            "best": best, "stopped_early": stopped_early, "seconds": seconds,
        }));
    }
    let mut text = format!("{}: {steps} steps", output.display());
    if let Some(loss) = loss {
        text += &format!(", loss {loss:.4}");
    }
    if let Some((step, scores)) = best {
        text += &format!(", best at step {step}: {}", measures(&scores));
    }
    if stopped_early {
        text += ", stopped early";
    }
    show::line(&text)
}

fn measures(scores: &Scores) -> String {
    scores.0.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join(", ")
}

/// Shows a progress bar during training, and lines for messages that should stay.
struct Shown<'a> {
    common: &'a Common,
    bar: ProgressBar,
    begun: Instant,
    /// In this process, and to come at its beginning.
    tokens: (u64, u64),
    /// A mean of late steps.
    loss: Option<f64>,
}

impl<'a> Shown<'a> {
    fn new(common: &'a Common) -> Self {
        let hidden = ProgressBar::hidden();
        Self { common, bar: hidden, begun: Instant::now(), tokens: (0, 0), loss: None }
    }

    fn show(&mut self, event: Event<'_>) {
        let keep = |text: &str| self.bar.suspend(|| self.common.note(text));
        match event {
            Event::Notice(text) => keep(&text),
            Event::Started { step, steps, tokens } => {
                if !self.common.quiet {
                    // indicatif draws nothing if stderr is not a terminal.
                    self.bar = ProgressBar::new(steps);
                    if let Ok(style) = ProgressStyle::with_template("{bar:30} step {pos}/{len}{msg}") {
                        self.bar.set_style(style);
                    }
                    self.bar.set_position(step);
                }
                (self.begun, self.tokens) = (Instant::now(), (0, tokens));
            }
            Event::Step(line) => {
                self.tokens.0 += line.tokens;
                let loss = self.loss.map_or(line.loss, |loss| 0.95 * loss + 0.05 * line.loss);
                self.loss = Some(loss);
                let rate = self.tokens.0 as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
                let left = Duration::from_secs_f64(self.tokens.1.saturating_sub(self.tokens.0) as f64 / rate.max(1e-9));
                let left = HumanDuration(Duration::from_secs(left.as_secs()));
                self.bar.set_message(format!(", loss {loss:.4}, {rate:.0} tokens/s, {left} left"));
                self.bar.set_position(line.step);
            }
            Event::Evaluating => self.bar.set_message(", measuring"),
            Event::Evaluated { step, scores, is_best } => {
                let best = if is_best { " (best)" } else { "" };
                keep(&format!("step {step}: {}{best}", measures(scores)));
            }
            Event::Checkpoint { .. } => {}
        }
    }
}
