//! The softmax cross-entropy of each row, together with its gradient.
//!
//! logits are `[R, C]`; labels `[R]` are u32, and a label of C or more means that the row has no loss; weights are
//! `[R]`, for example 1 divided by the number of labels for a mean. d_logits is `[R, C]`, loss is `[R]`.

use crate::device::cpu::{CpuCall, train::losses};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32 }

/// The op `cross_entropy`: reads logits `[R, C]`, labels (u32) and weights `[R]`; writes d_logits `[R, C]` and loss
/// `[R]`.
pub static OP: Op = Op {
    name: "cross_entropy",
    params: Params::STRUCT,
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
            grid: resolved!(|p| [groups(p.rows, 8), 1, 1]),
        },
        Variant {
            name: "cross_entropy_tiles",
            family: Family::Tiles,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/cross_entropy_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [p.rows.min(32768), groups(p.rows, 32768), 1]),
        },
    ],
    flops: resolved!(|p| 8.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// The results of a loss.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// The gradient by the logits, of their shape.
    pub d_logits: Tensor,
    /// The weighted loss of each row.
    pub loss: Tensor,
}

/// Records the loss of every row of logits `[R, C]`. labels and weights are `[R]`, as the module says.
pub fn cross_entropy(g: &mut Graph, logits: Tensor, labels: Tensor, weights: Tensor) -> Loss {
    let d_logits = g.temp("d_logits", logits.rows, logits.cols);
    let loss = g.temp("loss", logits.rows, 1);
    let params = Params { rows: logits.rows, cols: logits.cols };
    g.call(&OP, &[logits, labels, weights], &[d_logits, loss], params);
    Loss { d_logits, loss }
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, .. } = Params::resolved(call.params);
    let [logits, labels, weights] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_logits, loss] = call.writes else { unreachable!("two results") };
    let labels = bytemuck::cast_slice(labels);
    losses::cross_entropy(call.dispatch, d_logits, loss, logits, labels, weights, cols as usize);
}
