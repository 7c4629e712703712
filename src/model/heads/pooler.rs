//! The pooler: `tanh(W h + b)` of `[CLS]`'s hidden state (`BertPooler`).

use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::model::layer::Pair;

#[derive(Debug)]
pub(super) struct Pooler(Pair);

impl Pooler {
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Pair::linear(checkpoint, device, "bert.pooler.dense", &["bert.pooler.dense"]).map(Self)
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.0.weights()
    }

    /// Records the pooled vectors `[B, H]` from the sequences' first hidden states `[B, H]`.
    pub fn record(&self, g: &mut Graph, first: Tensor) -> Tensor {
        self.0.apply(g, "pooled", first, Activation::Tanh, None)
    }
}
