//! The extractive question answering head: a linear layer to a start and an end logit for each token
//! (`BertForQuestionAnswering`).

use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::model::layer::Pair;

/// Loads the head.
pub(in crate::model) fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Pair> {
    Pair::linear(checkpoint, device, "qa_outputs", &["qa_outputs"])
}

/// Records logits `[T, 2]`, start and end, from hidden states `[T, H]`.
pub(in crate::model) fn record(head: &Pair, g: &mut Graph, hidden: Tensor) -> Tensor {
    head.apply(g, "logits", hidden, Activation::Linear, None)
}
