//! Models: their definition, their parameters on a device, and the recording of their computation. It knows the ops, but not how a device runs them.
//!
//! Start at [`Model`]. `bert` is the definition that inference and training share, over the traits in `recorder`. To add a head, start at
//! [`Head`].

pub(crate) mod bert;
pub(crate) mod embeddings;
#[cfg(feature = "train")]
mod low_rank;
pub mod memory;
mod parameters;
pub(crate) mod recorder;
mod tower;

use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::Batch;
use crate::checkpoint::module::ModuleWeights;
use crate::checkpoint::{Checkpoint, Head, TABLES};
use crate::config::Config;
use crate::device::{BatchSizes, CallList, Cancel, Device, Input, Plan, Rows, TensorId, Weight};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::sentence::Module;
use bert::Bert;
use memory::Footprint;
use parameters::{LayerNorm, Linear, Upload};
use tower::{Stacked, Tower};

/// A BERT model on a device, ready to run.
#[derive(Debug)]
pub struct Model {
    checkpoint: Checkpoint,
    device: Arc<Device>,
    bert: Bert<Graph>,
    head: Head,
    tower: Tower,
    list: CallList,
    inputs: [TensorId; 3],
    skipped: Option<TensorId>,
    outputs: Vec<bert::Output>,
    /// The plan of the largest batch yet; a smaller batch runs on it at no cost. Taken out while it runs.
    plan: Mutex<Option<Plan>>,
}

/// One of the things a model says about a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// "hidden", "embedding", "pooled", "logits", "prediction_logits" or "seq_relationship_logits".
    pub name: &'static str,
    /// Columns of a row; what the rows are, [`Head`] says.
    pub cols: usize,
    /// Row after row.
    pub values: Vec<f32>,
}

/// Tokens of a packed batch where a task may choose: enough to keep every kernel busy, few enough that its activations
/// stay in a cache.
pub const BATCH_TOKENS: usize = 1024;

/// Plans are made for multiples of this many tokens.
const BUCKET: usize = 64;

/// Plans are made for multiples of this many picked tokens: each takes a row of the vocabulary's size.
const PICKED_BUCKET: usize = 8;

/// A GPU's dispatch has no more workgroups than this in one dimension.
const MAX_SEQUENCES: usize = 65_535;

/// Bytes that the logits of picked tokens, or of sequences, may take in one forward.
const MAX_LOGITS_BYTES: usize = 128 << 20;

impl Model {
    /// Uploads the parameters of a model with this head to `device`, which several models may share. A checkpoint that
    /// holds its weights in memory of its own then lets go of all but the embedding tables.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the checkpoint is not such a model, [`Error::Memory`] or [`Error::Gpu`] if the device
    /// cannot take it.
    pub fn load(checkpoint: Checkpoint, head: Head, device: impl Into<Arc<Device>>) -> Result<Self> {
        let pooled = match head {
            Head::Embedding(pooling) => vec![(Module::Pool { poolings: vec![pooling], with_prompt: true }, None)],
            _ => Vec::new(),
        };
        Self::load_with(checkpoint, head, &pooled, device.into())
    }

    /// The same of a sentence encoder: its `modules` with their weights stand on the encoder, or on BERT's pooler where
    /// `has_pooler` says so. Its head is [`Head::Encoder`] where no module pools.
    ///
    /// # Errors
    /// As [`Model::load`]; [`Error::Config`] for modules that do not fit each other or the model.
    pub fn load_sentence(
        checkpoint: Checkpoint,
        modules: &[(Module, Option<ModuleWeights>)],
        has_pooler: bool,
        device: impl Into<Arc<Device>>,
    ) -> Result<Self> {
        let pooling = modules.iter().find_map(|(module, _)| module.poolings()?.first().copied());
        let head = match pooling {
            _ if has_pooler => Head::Pooler,
            Some(pooling) => Head::Embedding(pooling),
            None => Head::Encoder,
        };
        Self::load_with(checkpoint, head, modules, device.into())
    }

    fn load_with(mut checkpoint: Checkpoint, head: Head, modules: &[Stacked], device: Arc<Device>) -> Result<Self> {
        checkpoint.require(head)?;
        if head.is_classifier() {
            checkpoint.config().check_labels()?;
        }
        let kept = checkpoint.dtype()?.uploaded();
        let tokens = BATCH_TOKENS.max(checkpoint.config().max_position_embeddings);
        let mut footprint = Footprint::predict(checkpoint.config(), head, kept, tokens);
        let module_bytes = modules.iter().filter_map(|(_, weights)| weights.as_ref()).map(ModuleWeights::bytes);
        footprint.weights = module_bytes.fold(footprint.weights, u64::saturating_add);
        footprint.check("the model")?;
        let bert = Bert::load(&mut Upload { checkpoint: &mut checkpoint, device: &device }, head)?;
        let hidden = checkpoint.config().hidden_size;
        let tower = Tower::load(modules, hidden, &device)?;
        checkpoint.keep(&TABLES);
        let mut g = Graph::new();
        let embedded = g.input("embeddings.sum", Rows::Tokens, hidden as u32);
        let bounds = g.input("bounds", Rows::Bounds, 1);
        let picked = g.input("picked", Rows::Picked, 1);
        let skipped = tower.skips().then(|| g.input("skipped", Rows::Sequences, 1));
        let mut recorded = bert.record(&mut g, embedded, bounds, picked);
        let outputs = match std::mem::take(&mut recorded.logits) {
            none if none.is_empty() => vec![tower.record(&mut g, &recorded, bounds, skipped)],
            logits => logits,
        };
        let list = g.finish(&outputs.iter().flat_map(|o| o.parts.iter().copied()).collect::<Vec<_>>());
        let (inputs, skipped) = ([embedded, bounds, picked].map(|t| t.id), skipped.map(|t| t.id));
        Ok(Self { checkpoint, device, bert, head, tower, list, inputs, skipped, outputs, plan: Mutex::new(None) })
    }

    /// What it has on top.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The model's configuration.
    pub fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    /// The checkpoint that the model was loaded from.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The recorded computation, for traces and lockstep.
    pub fn list(&self) -> &CallList {
        &self.list
    }

    /// Columns of a row of the first output: the numbers of an embedding.
    pub fn width(&self) -> usize {
        self.outputs.first().map_or(0, bert::Output::cols)
    }

    /// The parameters in the device's memory; the embedding tables are not among them.
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        let linears = self.bert.linears().flat_map(Linear::weights);
        linears.chain(self.bert.layer_norms().flat_map(LayerNorm::weights)).chain(self.tower.weights())
    }

    /// The most tokens a batch may have on this device.
    pub fn max_tokens(&self) -> usize {
        let config = self.config();
        let logits = match self.head {
            Head::TokenClassification => config.num_labels(),
            _ => 0,
        };
        let widest = config.intermediate_size.max(3 * config.hidden_size).max(logits).max(self.widest(Rows::Tokens));
        self.device.max_rows(widest as u32) as usize / BUCKET * BUCKET
    }

    /// The most sequences of one batch: each has a row of logits, as wide as there are labels.
    pub fn max_sequences(&self) -> usize {
        let labels = match self.head {
            Head::SequenceClassification => self.config().num_labels().max(1),
            // No wider than what all tokens together have.
            _ if self.widest(Rows::Sequences) <= self.config().hidden_size => return MAX_SEQUENCES,
            _ => self.widest(Rows::Sequences),
        };
        let most = (MAX_LOGITS_BYTES / (labels * 4)).min(self.device.max_rows(labels as u32) as usize);
        most.clamp(1, MAX_SEQUENCES)
    }

    /// Columns of the widest tensor that has so many rows.
    fn widest(&self, rows: Rows) -> usize {
        self.list.tensors.iter().filter(|t| t.rows == rows).map(|t| t.cols as usize).max().unwrap_or(0)
    }

    /// The most tokens that may be picked in one batch: their logits are as wide as the vocabulary.
    pub fn max_picked(&self) -> usize {
        let parts = self.bert.decoder().iter().map(|part| part.weight.rows());
        let Some(widest) = parts.max() else { return MAX_SEQUENCES };
        let in_memory = MAX_LOGITS_BYTES / (self.config().vocab_size * 4);
        let most = in_memory.min(self.device.max_rows(widest as u32) as usize);
        (most / PICKED_BUCKET * PICKED_BUCKET).clamp(PICKED_BUCKET, MAX_SEQUENCES)
    }

    /// What the device is fed for `batch`: the embedding sum and the sequences' bounds.
    pub fn inputs(&self, batch: &Batch) -> Result<Inputs> {
        let most = self.config().max_position_embeddings;
        let bad = batch.ranges().map(|range| range.len()).find(|length| *length == 0 || *length > most);
        if bad.is_some() || batch.tokens() == 0 {
            return Err(Error::Input {
                problem: format!("a sequence of {} tokens cannot be run", bad.unwrap_or(0)),
                help: format!("Use sequences of 1 to {most} tokens").into(),
            });
        }
        let most_sequences = self.max_sequences();
        if batch.tokens() > self.max_tokens() || batch.sequences() > most_sequences {
            let (tokens, sequences, most) = (batch.tokens(), batch.sequences(), self.max_tokens());
            return Err(Error::Input {
                problem: format!("a batch of {tokens} tokens in {sequences} sequences is too large for the device"),
                help: format!("Use batches of at most {most} tokens and {most_sequences} sequences").into(),
            });
        }
        let (picked, most) = (batch.picked.len(), self.max_picked());
        if picked > most || batch.picked.iter().any(|at| *at as usize >= batch.tokens()) {
            return Err(Error::Input {
                problem: format!("{picked} picked tokens of {} cannot be run", batch.tokens()),
                help: format!("Pick at most {most} tokens of a batch, each by its place in it").into(),
            });
        }
        let mut sum = Vec::new();
        embeddings::gather(&self.checkpoint, batch, &mut sum)?;
        let mut skipped = batch.skipped.clone();
        skipped.resize(batch.sequences(), 0);
        let skipped = self.skipped.map(|id| (id, skipped));
        Ok(Inputs { ids: self.inputs, sum, bounds: batch.bounds.clone(), picked: batch.picked.clone(), skipped })
    }

    /// Bytes of activations that a batch of so many tokens takes on this device.
    pub async fn activation_bytes(&self, tokens: usize) -> Result<u64> {
        let tokens = tokens as u32;
        let plan =
            self.device.plan(&self.list, BatchSizes { tokens, sequences: 1, longest: tokens, picked: 0 }).await?;
        Ok(plan.bytes())
    }

    /// Floating point operations of the matmuls and attention for this batch; the cheap rest is not counted.
    pub fn matmul_flops(&self, batch: &Batch) -> f64 {
        let counted = |name: &str| matches!(name, "matmul" | "attention");
        let mut words = Vec::new();
        let calls = self.list.calls.iter().filter(|c| counted(c.op.name));
        calls.map(|c| c.flops(batch.sizes(), &mut words)).sum()
    }

    /// Runs a packed batch; the values of the head's first output, row after row, of the shape that [`Head`] gives.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub async fn forward(&self, batch: &Batch, cancel: &Cancel) -> Result<Vec<f32>> {
        Ok(self.outputs(batch, cancel).await?.swap_remove(0).values)
    }

    /// Runs a packed batch; all that the head gives, which is one thing but for pre-training's two.
    ///
    /// # Errors
    /// [`Error::Input`] for ids outside the vocabulary or too long a sequence, [`Error::Memory`] for too large a batch,
    /// [`Error::Gpu`], [`Error::DeviceLost`], [`Error::Cancelled`].
    pub async fn outputs(&self, batch: &Batch, cancel: &Cancel) -> Result<Vec<Output>> {
        let inputs = self.inputs(batch)?;
        let sizes = batch.sizes();
        let held = self.plan.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut plan = match held {
            Some(plan) if plan.capacity().holds(sizes) => plan,
            smaller => {
                let had = smaller.map(|plan| plan.capacity()).unwrap_or_default();
                let tokens = (batch.tokens().next_multiple_of(BUCKET) as u32).max(had.tokens);
                let picked = (batch.picked.len().next_multiple_of(PICKED_BUCKET) as u32).max(had.picked);
                let sequences = tokens.min(self.max_sequences() as u32);
                self.device.plan(&self.list, BatchSizes { tokens, sequences, longest: tokens, picked }).await?
            }
        };
        let values = self.device.run(&mut plan, sizes, &inputs.list(), cancel).await;
        // Kept after a cancel as well.
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
        let mut values = values?.into_iter();
        Ok(self.outputs.iter().map(|o| side_by_side(o, values.by_ref())).collect())
    }
}

/// One output from the values of its parts.
fn side_by_side(output: &bert::Output, values: impl Iterator<Item = Vec<f32>>) -> Output {
    let cols = output.cols();
    let mut parts: Vec<Vec<f32>> = values.take(output.parts.len()).collect();
    if parts.len() == 1 {
        return Output { name: output.name, cols, values: parts.swap_remove(0) };
    }
    let mut all = vec![0.0; parts.iter().map(Vec::len).sum()];
    let mut first = 0;
    for (part, values) in output.parts.iter().zip(parts) {
        let width = part.cols as usize;
        for (to, from) in all.chunks_exact_mut(cols).zip(values.chunks_exact(width)) {
            to[first..first + width].copy_from_slice(from);
        }
        first += width;
    }
    Output { name: output.name, cols, values: all }
}

/// The bytes a run is fed with.
#[derive(Debug)]
pub struct Inputs {
    ids: [TensorId; 3],
    sum: Vec<f32>,
    bounds: Vec<u32>,
    picked: Vec<u32>,
    skipped: Option<(TensorId, Vec<u32>)>,
}

impl Inputs {
    /// Word, token type and position embeddings added up, `[T, H]`.
    pub fn embedding_sum(&self) -> &[f32] {
        &self.sum
    }

    /// The inputs of a run: each tensor with its bytes.
    pub fn list(&self) -> Vec<Input<'_>> {
        let [embedded, bounds, picked] = self.ids;
        let mut list: Vec<Input<'_>> = vec![
            (embedded, bytemuck::cast_slice(&self.sum)),
            (bounds, bytemuck::cast_slice(&self.bounds)),
            (picked, bytemuck::cast_slice(&self.picked)),
        ];
        list.extend(self.skipped.iter().map(|(id, skipped)| (*id, bytemuck::cast_slice(skipped))));
        list
    }
}
