//! The softmax cross-entropy of a span's start and end over the tokens of each sequence, with its gradient.
//!
//! logits are `[T, 2]`; bounds `[B + 1]` and labels `[B, 2]` are u32; weights are `[B, 2]`. A label counts tokens from
//! the start of its sequence; outside the sequence it means no loss. d_logits is `[T, 2]`, loss is `[B, 2]`.

use super::cross_entropy::Loss;
use crate::device::cpu::{CpuCall, train::losses};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { sequences: Rows }

/// The op `span_loss`: reads logits `[T, 2]`, bounds `[B + 1]`, labels and weights `[B, 2]`; writes d_logits `[T, 2]`
/// and loss `[B, 2]`.
pub static OP: Op = Op {
    name: "span_loss",
    params: Params::STRUCT,
    reads: &["logits", "bounds", "labels", "weights"],
    writes: &["d_logits", "loss"],
    twin,
    variants: only!("span_loss", "../../shaders/span_loss.wgsl", resolved!(|p| [groups(2 * p.sequences, 8), 1, 1])),
    flops: resolved!(|p| 16.0 * f64::from(p.sequences)),
};

/// Records the loss of the start and the end in every sequence. logits are `[T, 2]`, bounds `[B + 1]`, labels and
/// weights `[B, 2]`.
pub fn span_loss(g: &mut Graph, logits: Tensor, bounds: Tensor, labels: Tensor, weights: Tensor) -> Loss {
    let d_logits = g.temp("d_logits", logits.rows, 2);
    let loss = g.temp("loss", Rows::Sequences, 2);
    g.call(&OP, &[logits, bounds, labels, weights], &[d_logits, loss], Params { sequences: Rows::Sequences });
    Loss { d_logits, loss }
}

fn twin(call: &mut CpuCall<'_>) {
    let [logits, bounds, labels, weights] = [0, 1, 2, 3].map(|i| call.reads[i].plain());
    let [d_logits, loss] = call.writes else { unreachable!("two results") };
    losses::span(d_logits, loss, logits, bytemuck::cast_slice(bounds), bytemuck::cast_slice(labels), weights);
}
