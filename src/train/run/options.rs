//! The options of a run, and which of them must match when it is resumed.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::train::TrainOptions;

/// The options of training. The defaults are those of BERT's own fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunOptions {
    /// How often every example is used. At least 1.
    pub epochs: u64,
    /// The most steps, even if the epochs have more.
    pub max_steps: Option<u64>,
    /// The highest learning rate.
    pub lr: f64,
    /// The steps over which the rate rises to its peak: below 1 a share of all steps, else a number of steps.
    pub warmup: f64,
    /// The most tokens of a batch. An example with more is a batch of its own.
    pub batch_tokens: usize,
    /// The number of batches whose gradients make one step.
    pub accumulate: usize,
    /// The most tokens of a sequence. By default the longest sequence of the model, and at most 384 for questions and
    /// 128 for masked words.
    pub max_seq_len: Option<usize>,
    /// The context tokens that neighbouring windows of a question share. By default 128, or half a window if that is
    /// less.
    pub doc_stride: Option<usize>,
    /// The steps between evaluations; by default those of an epoch.
    pub eval_every: Option<u64>,
    /// The number of evaluations without improvement after which the run stops.
    pub patience: Option<u64>,
    /// The metric that decides which model is best; by default the main one of the task.
    pub metric: Option<String>,
    /// The steps between checkpoints. There is also one at each evaluation and at the end.
    pub checkpoint_every: u64,
    /// The options of the trainer.
    pub train: TrainOptions,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            epochs: 3,
            max_steps: None,
            lr: 5e-5,
            warmup: 0.1,
            batch_tokens: 2048,
            accumulate: 1,
            max_seq_len: None,
            doc_stride: None,
            eval_every: None,
            patience: None,
            metric: None,
            checkpoint_every: 500,
            train: TrainOptions::default(),
        }
    }
}

impl RunOptions {
    /// Checks that each option is in its range.
    ///
    /// # Errors
    /// [`Error::Option`] names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        let wrong = |name, problem: String, help: &str| Err(Error::Option { name, problem, help: help.into() });
        let counts = [
            ("epochs", Some(self.epochs)),
            ("max_steps", self.max_steps),
            ("batch_tokens", Some(self.batch_tokens as u64)),
            ("accumulate", Some(self.accumulate as u64)),
            ("max_seq_len", self.max_seq_len.map(|n| n as u64)),
            ("eval_every", self.eval_every),
            ("patience", self.patience),
            ("checkpoint_every", Some(self.checkpoint_every)),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, n)| *n == Some(0)) {
            return wrong(name, "it is 0".into(), "Give at least 1");
        }
        if self.epochs > MOST_EPOCHS {
            return wrong("epochs", format!("{} are too many", self.epochs), "Give at most 10000");
        }
        if self.batch_tokens > MOST_TOKENS {
            return wrong("batch_tokens", format!("{} are too many", self.batch_tokens), "Give at most 1048576");
        }
        if !((self.lr as f32).is_finite() && self.lr as f32 > 0.0) {
            return wrong(
                "lr",
                format!("invalid learning rate {}: it must be finite and greater than 0", self.lr),
                "Give one such as 5e-5",
            );
        }
        let is_count = (1.0..=MOST_WARMUP).contains(&self.warmup) && self.warmup.fract() == 0.0;
        if !is_count && !(0.0..1.0).contains(&self.warmup) {
            return wrong(
                "warmup",
                format!("{} is neither", self.warmup),
                "Give a share such as 0.1, or a number of steps",
            );
        }
        self.train.optimizer.check()
    }

    /// The steps of the warm-up in a run of `total` steps.
    pub fn warmup_steps(&self, total: u64) -> u64 {
        if self.warmup < 1.0 { (self.warmup * total as f64).ceil() as u64 } else { self.warmup as u64 }
    }
}

const MOST_EPOCHS: u64 = 10_000;
const MOST_WARMUP: f64 = 1e12;
const MOST_TOKENS: usize = 1 << 20;
