//! A linear layer with a few logits, on every token (`qa_outputs`, a token classifier) or on the pooled vectors
//! (`cls.seq_relationship`, a sequence classifier).

use super::Output;
use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::model::layer::Pair;

#[derive(Debug)]
pub(super) struct Linear {
    pair: Pair,
    output: &'static str,
}

impl Linear {
    /// Loads the layer that checkpoints call `name`. Its result is called `output`.
    pub fn load(checkpoint: &Checkpoint, device: &Device, name: &str, output: &'static str) -> Result<Self> {
        Ok(Self { pair: Pair::linear(checkpoint, device, name, &[name])?, output })
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.pair.weights()
    }

    /// Records the logits of the rows of `x`.
    pub fn record(&self, g: &mut Graph, x: Tensor) -> Output {
        Output::whole(self.output, self.pair.apply(g, self.output, x, Activation::Linear, None))
    }
}
