//! Training: a model with parameters that change, its losses, and the optimizer's steps.
//!
//! To train from files, start at [`run`]. It writes a model's directory, and you can stop and resume it. To train with a loop of your own, start
//! at [`step::Trainer`], which takes one batch with its labels at a time. [`data`] reads files, [`features`] turns examples into sequences, [`order`] and
//! [`collate`] make batches of them, and [`evaluate`] measures. `docs/training.md` explains the design.
//!
//! # Step by step
//! ```
//! use cloze::checkpoint::{Checkpoint, Head};
//! use cloze::device::{Cancel, Cpu, Device};
//! use cloze::text::Tokenizer;
//! use cloze::train::collate::Collated;
//! use cloze::train::features::{Feature, Target};
//! use cloze::train::{TrainOptions, Trainer};
//!
//! # fn main() -> cloze::Result<()> {
//! let dir = std::path::Path::new("tests/fixtures/tasks/moods");
//! let checkpoint = Checkpoint::open(dir)?;
//! let tokenizer = Tokenizer::load(dir, checkpoint.config().vocab_size)?;
//! let device = Device::Cpu(Cpu::new(0));
//! let mut trainer = Trainer::new(checkpoint, Head::SequenceClassification, device, TrainOptions::default())?;
//!
//! let example = |text: &str, class: u32| -> cloze::Result<Feature> {
//!     Ok(Feature { sequence: tokenizer.single(&tokenizer.encode(text)?.ids), target: Target::Class(class) })
//! };
//! let examples = [example("She was happy.", 2)?, example("It was terrible.", 0)?];
//! let batch = Collated::of(&examples)?;
//! let cancel = Cancel::new();
//! let mut losses = Vec::new();
//! for _ in 0..20 {
//!     losses.push(cloze::block_on(trainer.step(&batch.batch, &batch.labels(), 1.0, 1e-3, &cancel))?);
//! }
//! assert!(losses[19] < losses[0]);
//! // Two sequences, three classes.
//! assert_eq!(cloze::block_on(trainer.logits(&batch.batch, &cancel))?[0].len(), 2 * 3);
//! # Ok(())
//! # }
//! ```

pub mod autodiff;
pub mod evaluation;
pub mod examples;
pub mod parameters;
#[cfg(feature = "native")]
pub mod run;
pub mod trainer;

pub use autodiff::{nodes, tape};
pub use evaluation::{self as evaluate, metrics};
pub use examples::{collate, data, features, order, random};
pub use parameters::lora;
pub use trainer::{save, schedule, step};

pub use step::Trainer;

use crate::checkpoint::adapter::Lora;
use crate::error::{Error, Result, clip};
use crate::ops::adamw::AdamW;

/// The parameters to train. Those of the head are always trained.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// All parameters.
    #[default]
    Full,
    /// Only biases, with the offsets of LayerNorm (Ben Zaken et al., arXiv:2106.10199).
    BitFit,
    /// Only the head, with the pooler.
    Head,
    /// Adapters of the encoder's linear layers, and the head with the pooler (Hu et al., arXiv:2106.09685).
    Lora(Lora),
}

/// Options of the adapters of [`Method::Lora`]. A missing option has its value in [`Lora::default`].
#[derive(Clone, Debug, Default)]
pub struct Adapters {
    /// The rank.
    pub r: Option<usize>,
    /// The scale times the rank.
    pub alpha: Option<f32>,
    /// The dropout probability of an adapter's input, 0 to 1.
    pub dropout: Option<f32>,
    /// The layers to adapt, by the ends of their names.
    pub targets: Option<Vec<String>>,
}

impl Method {
    /// The method of this name: `full`, `lora`, `bitfit` or `head`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name, and for adapter options with a method without adapters.
    pub fn named(name: &str, adapters: Adapters) -> Result<Self> {
        let Adapters { r, alpha, dropout, targets } = adapters;
        let given = [
            ("lora_r", r.is_some()),
            ("lora_alpha", alpha.is_some()),
            ("lora_dropout", dropout.is_some()),
            ("lora_targets", targets.is_some()),
        ];
        let method = match name {
            "full" => Method::Full,
            "bitfit" => Method::BitFit,
            "head" => Method::Head,
            "lora" => {
                let usual = Lora::default();
                return Ok(Method::Lora(Lora {
                    r: r.unwrap_or(usual.r),
                    alpha: alpha.unwrap_or(usual.alpha),
                    dropout: dropout.unwrap_or(usual.dropout),
                    targets: targets.unwrap_or(usual.targets),
                }));
            }
            other => {
                let problem = format!("unknown method '{}'", clip(other));
                return Err(Error::Option { name: "method", problem, help: "Use full, lora, bitfit or head".into() });
            }
        };
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(method),
            Some((option, _)) => Err(Error::Option {
                name: option,
                problem: format!("the method is {name}, which has no adapters"),
                help: "Use the method lora, or leave it out".into(),
            }),
        }
    }
}

/// The options that stay fixed during a training run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TrainOptions {
    /// The parameters to train.
    pub method: Method,
    /// The number of encoder layers to freeze, counted from the first.
    pub freeze_layers: usize,
    /// Whether to freeze the embeddings and their LayerNorm.
    pub freeze_embeddings: bool,
    /// Whether the dropouts of the model's configuration apply.
    pub dropout: bool,
    /// The seed of dropout, and of the initial values of a new head.
    pub seed: u64,
    /// The optimizer. Its weight decay does not apply to biases and LayerNorm.
    pub optimizer: AdamW,
    /// Whether to correct the bias of the moments, as PyTorch's AdamW does and BERT's own optimizer does not.
    pub corrects_bias: bool,
    /// Whether to compute a layer's activations again for the gradients instead of keeping them: less memory, a third
    /// more time, the same bits.
    pub checkpoint_activations: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            method: Method::Full,
            freeze_layers: 0,
            freeze_embeddings: false,
            dropout: true,
            seed: 0,
            optimizer: AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01, max_norm: 1.0 },
            corrects_bias: true,
            checkpoint_activations: false,
        }
    }
}

/// The expected results of a batch. The class [`Labels::NONE`] does not count.
#[derive(Clone, Copy, Debug)]
pub enum Labels<'a> {
    /// Question answering: the first and the last token of the answer, counted within the sequence. A token outside
    /// does not count. The loss is the mean of the two means.
    Spans(&'a [[u32; 2]]),
    /// A class for each sequence, token or picked token.
    Classes(&'a [u32]),
    /// `[B, L]` scores, or 0 and 1 for each of several labels.
    Targets(&'a [f32]),
    /// Pre-training: a word for each picked token, and whether the second text of each sequence follows the first.
    PreTraining {
        /// The id of each masked word.
        words: &'a [u32],
        /// 0 if the second text follows the first, else 1.
        next: &'a [u32],
    },
}

impl Labels<'_> {
    /// The class that marks a missing label.
    pub const NONE: u32 = u32::MAX;
}
