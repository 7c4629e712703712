//! The first half of LayerNorm's gradients by its parameters: partial sums over rows of `d_y n` and of `d_y`, where n
//! is the normalized input. [`column_reduce`](super::column_reduce) is the other half.
//!
//! x and d_y are `[R, C]`, stats `[R, 2]` comes from [`layer_norm_backward`](super::layer_norm_backward), d_gamma and
//! d_beta are `[P, C]`.

use crate::device::cpu::{CpuCall, train::rows};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::{column_partials::PARTS, column_reduce::column_reduce, groups};

params! { rows: Rows, cols: u32, parts: u32 }

/// The op `layer_norm_partials`: reads x and d_y `[R, C]` and stats `[R, 2]`; writes d_gamma and d_beta `[P, C]`.
pub static OP: Op = Op {
    name: "layer_norm_partials",
    params: Params::STRUCT,
    reads: &["x", "d_y", "stats"],
    writes: &["d_gamma", "d_beta"],
    twin,
    variants: only!("layer_norm_partials", "../../shaders/layer_norm_partials.wgsl", resolved!(|p| [groups(p.cols, 64), p.parts, 1])),
    flops: resolved!(|p| 5.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the gradients by gamma and beta. It adds them to `d_gamma` and `d_beta`, of C elements each; `None` leaves
/// one out. x and d_y are `[R, C]`, stats is `[R, 2]`.
pub fn layer_norm_params(
    g: &mut Graph,
    x: Tensor,
    d_y: Tensor,
    stats: Tensor,
    d_gamma: Option<Tensor>,
    d_beta: Option<Tensor>,
) {
    let [gains, offsets] = ["gamma_partials", "beta_partials"].map(|name| g.temp(name, Rows::Fixed(PARTS), x.cols));
    let params = Params { rows: x.rows, cols: x.cols, parts: PARTS };
    g.call(&OP, &[x, d_y, stats], &[gains, offsets], params);
    for (parts, sum) in [(gains, d_gamma), (offsets, d_beta)] {
        if let Some(sum) = sum {
            column_reduce(g, parts, sum);
        }
    }
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, parts, .. } = Params::resolved(call.params);
    let [x, d_y, stats] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_gamma, d_beta] = call.writes else { unreachable!("two results") };
    rows::layer_norm_partials(call.dispatch, [d_gamma, d_beta], x, d_y, stats, cols as usize, parts as usize);
}
