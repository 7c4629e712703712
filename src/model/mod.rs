//! BERT: configuration, parameters, and the recording of its computation. It knows ops, and no device's insides.

mod embeddings;
mod encoder;
pub mod heads;
mod layer;
pub mod memory;

use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Head};
use crate::config::Config;
use crate::device::{CallList, Cancel, Device, Input, Live, Plan, TensorId, Weight};
use crate::error::{Error, Result};
use crate::graph::Graph;
use encoder::Encoder;
use layer::Pair;
use memory::Footprint;

/// A BERT model on a device, ready to run.
#[derive(Debug)]
pub struct Model {
    checkpoint: Checkpoint,
    device: Arc<Device>,
    encoder: Encoder,
    head: Option<Pair>,
    list: CallList,
    embedded: TensorId,
    bounds: TensorId,
    /// The plan of the largest batch yet; a smaller batch runs on it at no cost. Taken out while it runs.
    plan: Mutex<Option<Plan>>,
}

/// Tokens of a packed batch where a task may choose: enough to keep every kernel busy, few enough that its activations
/// stay in a cache.
pub const BATCH_TOKENS: usize = 1024;

/// Plans are made for multiples of this many tokens.
const BUCKET: usize = 64;

/// A GPU's dispatch has no more workgroups than this in one dimension.
const MAX_SEQUENCES: usize = 65_535;

impl Model {
    /// Uploads the parameters of a model with this head to `device`, which several models may share.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the checkpoint is not such a model, [`Error::Memory`] or [`Error::Gpu`] if the device
    /// cannot take it.
    pub fn load(checkpoint: Checkpoint, head: Head, device: impl Into<Arc<Device>>) -> Result<Self> {
        let device = device.into();
        checkpoint.require(head)?;
        let kept = device.kept_as(checkpoint.dtype()?);
        let tokens = BATCH_TOKENS.max(checkpoint.config().max_position_embeddings);
        let footprint = Footprint::predict(checkpoint.config(), head, kept, tokens);
        footprint.check("the model")?;
        let encoder = Encoder::load(&checkpoint, &device)?;
        let mut g = Graph::new();
        let recorded = encoder.record(&mut g);
        let (head, output) = match head {
            Head::Encoder => (None, recorded.hidden),
            Head::QuestionAnswering => {
                let pair = heads::question_answering::load(&checkpoint, &device)?;
                let logits = heads::question_answering::record(&pair, &mut g, recorded.hidden);
                (Some(pair), logits)
            }
        };
        let list = g.finish(&[output]);
        Ok(Self {
            checkpoint,
            device,
            encoder,
            head,
            list,
            embedded: recorded.embedded.id,
            bounds: recorded.bounds.id,
            plan: Mutex::new(None),
        })
    }

    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The recorded computation, for traces and lockstep.
    pub fn list(&self) -> &CallList {
        &self.list
    }

    /// The parameters in the device's memory; the embedding tables are not among them.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.encoder.weights().chain(self.head.iter().flat_map(Pair::weights))
    }

    /// The most tokens a batch may have on this device.
    pub fn max_tokens(&self) -> usize {
        let config = self.config();
        let widest = config.intermediate_size.max(3 * config.hidden_size);
        self.device.max_rows(widest as u32) as usize / BUCKET * BUCKET
    }

    /// What the device is fed for `batch`: the embedding sum and the sequences' bounds.
    pub fn inputs(&self, batch: &Batch) -> Result<Inputs> {
        if batch.tokens() == 0 || batch.live().longest as usize > self.config().max_position_embeddings {
            return Err(Error::Input {
                problem: format!("a sequence of {} tokens cannot be run", batch.live().longest),
                mend: format!("Use sequences of 1 to {} tokens", self.config().max_position_embeddings),
            });
        }
        if batch.tokens() > self.max_tokens() || batch.sequences() > MAX_SEQUENCES {
            let (tokens, sequences, most) = (batch.tokens(), batch.sequences(), self.max_tokens());
            return Err(Error::Input {
                problem: format!("a batch of {tokens} tokens in {sequences} sequences is too large for the device"),
                mend: format!("Use batches of at most {most} tokens and {MAX_SEQUENCES} sequences"),
            });
        }
        let mut sum = Vec::new();
        embeddings::gather(&self.checkpoint, batch, &mut sum)?;
        Ok(Inputs { embedded: self.embedded, sum, bounds: self.bounds, first: batch.bounds.clone() })
    }

    /// Bytes of activations that a batch of so many tokens takes on this device.
    pub async fn activation_bytes(&self, tokens: usize) -> Result<u64> {
        let tokens = tokens as u32;
        let plan = self.device.plan(&self.list, Live { tokens, sequences: 1, longest: tokens }).await?;
        Ok(plan.bytes())
    }

    /// Floating point operations of the matmuls and attention for this batch; the cheap rest is not counted.
    pub fn matmul_flops(&self, batch: &Batch) -> f64 {
        let counted = |name: &str| matches!(name, "matmul" | "attention");
        let mut words = Vec::new();
        let calls = self.list.calls.iter().filter(|c| counted(c.op.name));
        calls.map(|c| c.flops(batch.live(), &mut words)).sum()
    }

    /// Runs a packed batch: logits `[T, 2]` with a question answering head, else hidden states `[T, H]`.
    ///
    /// # Errors
    /// [`Error::Input`] for ids outside the vocabulary or too long a sequence, [`Error::Memory`] for too large a batch,
    /// [`Error::Gpu`], [`Error::DeviceLost`], [`Error::Cancelled`].
    pub async fn forward(&self, batch: &Batch, cancel: &Cancel) -> Result<Vec<f32>> {
        let inputs = self.inputs(batch)?;
        let live = batch.live();
        let held = self.plan.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut plan = match held.filter(|p| p.capacity().tokens >= live.tokens) {
            Some(plan) => plan,
            None => {
                let tokens = batch.tokens().next_multiple_of(BUCKET) as u32;
                self.device.plan(&self.list, Live { tokens, sequences: tokens, longest: tokens }).await?
            }
        };
        let outputs = self.device.run(&mut plan, live, &inputs.list(), cancel).await?;
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
        Ok(outputs.into_iter().flatten().collect())
    }
}

/// The bytes a run is fed with.
#[derive(Debug)]
pub struct Inputs {
    embedded: TensorId,
    sum: Vec<f32>,
    bounds: TensorId,
    first: Vec<u32>,
}

impl Inputs {
    /// Word, token type and position embeddings added up, `[T, H]`.
    pub fn embedding_sum(&self) -> &[f32] {
        &self.sum
    }

    pub fn list(&self) -> [Input<'_>; 2] {
        [(self.embedded, bytemuck::cast_slice(&self.sum)), (self.bounds, bytemuck::cast_slice(&self.first))]
    }
}
