//! Softmax cross-entropy of each row, with its gradient at once.
//!
//! logits `[R, C]`, labels `[R]` u32 (a row whose label is not below C has no loss), weights `[R]`, such as 1 over the
//! number of labels for a mean; d_logits `[R, C]`, loss `[R]`.

use crate::device::cpu::{CpuCall, train::losses};
use crate::device::{Family, Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "cross_entropy",
    params: &["rows", "cols"],
    reads: &["logits", "labels", "weights"],
    writes: &["d_logits", "loss"],
    twin,
    variants: &[
        Variant {
            name: "cross_entropy_registers",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/cross_entropy_registers.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[0], 8), 1, 1],
        },
        Variant {
            name: "cross_entropy_tiles",
            family: Family::Tiles,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/cross_entropy_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [w[0].min(32768), groups(w[0], 32768), 1],
        },
    ],
    flops: |w| 8.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// What a loss says: the gradient by its logits, and its own rows.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    pub d_logits: Tensor,
    pub loss: Tensor,
}

/// Records the loss of every row of `logits`.
pub fn cross_entropy(g: &mut Graph, logits: Tensor, labels: Tensor, weights: Tensor) -> Loss {
    let d_logits = g.temp("d_logits", logits.rows, logits.cols);
    let loss = g.temp("loss", logits.rows, 1);
    let params = vec![Word::Rows(logits.rows), Word::U32(logits.cols)];
    g.call(&OP, &[logits, labels, weights], &[d_logits, loss], params);
    Loss { d_logits, loss }
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols] = *call.params else { unreachable!("two parameters") };
    let [logits, labels, weights] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_logits, loss] = call.writes else { unreachable!("two results") };
    let labels = bytemuck::cast_slice(labels);
    losses::cross_entropy(call.dispatch, d_logits, loss, logits, labels, weights, cols as usize);
}
