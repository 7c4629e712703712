//! Losses of single elements with their gradients: squared differences (regression), binary cross-entropy with logits
//! (several labels at once).
//!
//! logits and targets `[R, C]`, weights `[R]`; d_logits `[R, C]`, loss `[R]`, a row's sum times its weight.

use super::cross_entropy::Loss;
use crate::device::cpu::{CpuCall, train::losses};
use crate::device::{Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `(x - target)²`
    Squared = 0,
    /// `-target ln σ(x) - (1 - target) ln (1 - σ(x))`
    Binary = 1,
}

pub static OP: Op = Op {
    name: "element_loss",
    params: &["rows", "cols", "kind"],
    reads: &["logits", "targets", "weights"],
    writes: &["d_logits", "loss"],
    twin,
    variants: only!("element_loss", "../../shaders/element_loss.wgsl", |w| [groups(w[0], 8), 1, 1]),
    flops: |w| 8.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records the loss of every row of `logits`.
pub fn element_loss(g: &mut Graph, logits: Tensor, targets: Tensor, weights: Tensor, kind: Kind) -> Loss {
    let d_logits = g.temp("d_logits", logits.rows, logits.cols);
    let loss = g.temp("loss", logits.rows, 1);
    let params = vec![Word::Rows(logits.rows), Word::U32(logits.cols), Word::U32(kind as u32)];
    g.call(&OP, &[logits, targets, weights], &[d_logits, loss], params);
    Loss { d_logits, loss }
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols, kind] = *call.params else { unreachable!("three parameters") };
    let [logits, targets, weights] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_logits, loss] = call.writes else { unreachable!("two results") };
    let squared = kind == Kind::Squared as u32;
    losses::element(d_logits, loss, logits, targets, weights, cols as usize, squared);
}
