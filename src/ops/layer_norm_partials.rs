//! The first half of LayerNorm's gradients by its parameters: partial sums over rows of `d_y n` and of `d_y`, n the
//! normalised input; [`column_reduce`](super::column_reduce) is the other half.
//!
//! x and d_y `[R, C]`, stats `[R, 2]` of [`layer_norm_backward`](super::layer_norm_backward); d_gamma and d_beta `[P, C]`.

use crate::device::cpu::{CpuCall, train::rows};
use crate::device::{Op, Rows, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::{column_partials::PARTS, column_reduce::column_reduce, groups};

pub static OP: Op = Op {
    name: "layer_norm_partials",
    params: &["rows", "cols", "parts"],
    reads: &["x", "d_y", "stats"],
    writes: &["d_gamma", "d_beta"],
    twin,
    variants: only!("layer_norm_partials", "../../shaders/layer_norm_partials.wgsl", |w| [groups(w[1], 64), w[2], 1]),
    flops: |w| 5.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records the parameters' gradients, added to `d_gamma` and `d_beta` of C elements, to those that are asked for.
pub fn layer_norm_params(
    g: &mut Graph,
    x: Tensor,
    d_y: Tensor,
    stats: Tensor,
    d_gamma: Option<Tensor>,
    d_beta: Option<Tensor>,
) {
    let [gains, offsets] = ["gamma_partials", "beta_partials"].map(|name| g.temp(name, Rows::Fixed(PARTS), x.cols));
    let params = vec![Word::Rows(x.rows), Word::U32(x.cols), Word::U32(PARTS)];
    g.call(&OP, &[x, d_y, stats], &[gains, offsets], params);
    for (parts, sum) in [(gains, d_gamma), (offsets, d_beta)] {
        if let Some(sum) = sum {
            column_reduce(g, parts, sum);
        }
    }
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols, parts] = *call.params else { unreachable!("three parameters") };
    let [x, d_y, stats] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_gamma, d_beta] = call.writes else { unreachable!("two results") };
    rows::layer_norm_partials(call.dispatch, [d_gamma, d_beta], x, d_y, stats, cols as usize, parts as usize);
}
