//! Losses of single elements, with their gradients: squared differences (regression), and binary cross-entropy with
//! logits (several labels at once).
//!
//! logits and targets are `[R, C]`, weights `[R]`. d_logits is `[R, C]`. loss `[R]` is the sum over a row times the
//! row's weight.

use super::cross_entropy::Loss;
use crate::device::cpu::{CpuCall, train::losses};
use crate::device::{Op, numbers, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

/// The kind of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementLoss {
    /// `(x - target)²`.
    Squared = 0,
    /// `-target ln σ(x) - (1 - target) ln (1 - σ(x))`.
    Binary = 1,
}

numbers! {
    ElementLoss: |kind| kind as u32, |bits| if bits == 0 { ElementLoss::Squared } else { ElementLoss::Binary };
}

params! { rows: Rows, cols: u32, kind: ElementLoss }

/// The op `element_loss`: reads logits and targets `[R, C]` and weights `[R]`; writes d_logits `[R, C]` and loss `[R]`.
pub static OP: Op = Op {
    name: "element_loss",
    params: Params::STRUCT,
    reads: &["logits", "targets", "weights"],
    writes: &["d_logits", "loss"],
    twin,
    variants: only!("element_loss", "../../shaders/element_loss.wgsl", resolved!(|p| [groups(p.rows, 8), 1, 1])),
    flops: resolved!(|p| 8.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the loss of every row of logits `[R, C]`. targets are `[R, C]`, weights `[R]`.
pub fn element_loss(g: &mut Graph, logits: Tensor, targets: Tensor, weights: Tensor, kind: ElementLoss) -> Loss {
    let d_logits = g.temp("d_logits", logits.rows, logits.cols);
    let loss = g.temp("loss", logits.rows, 1);
    let params = Params { rows: logits.rows, cols: logits.cols, kind };
    g.call(&OP, &[logits, targets, weights], &[d_logits, loss], params);
    Loss { d_logits, loss }
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, kind, .. } = Params::resolved(call.params);
    let [logits, targets, weights] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_logits, loss] = call.writes else { unreachable!("two results") };
    let squared = kind == ElementLoss::Squared;
    losses::element(d_logits, loss, logits, targets, weights, cols as usize, squared);
}
