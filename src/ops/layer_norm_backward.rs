//! The gradient of LayerNorm by its input, over each row and always in f32: `d_x = s (g - mean(g) - n mean(g n))`, with
//! `g = gamma d_y` and the normalized input `n = (x - mean) s`.
//!
//! x, d_y and d_x are `[R, C]`, gamma is `[C]`. The op also writes mean and s into stats `[R, 2]`; the gradients of
//! gamma and beta need them.

use crate::device::cpu::{CpuCall, train::rows};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32, eps: f32 }

/// The op `layer_norm_backward`: reads x `[R, C]`, gamma `[C]` and d_y `[R, C]`; writes d_x `[R, C]` and stats
/// `[R, 2]`.
pub static OP: Op = Op {
    name: "layer_norm_backward",
    params: Params::STRUCT,
    reads: &["x", "gamma", "d_y"],
    writes: &["d_x", "stats"],
    twin,
    variants: &[
        Variant {
            name: "layer_norm_backward_registers",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_backward_registers.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.rows, 8), 1, 1]),
        },
        Variant {
            name: "layer_norm_backward_tiles",
            family: Family::Tiles,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_backward_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [p.rows.min(32768), groups(p.rows, 32768), 1]),
        },
    ],
    flops: resolved!(|p| 16.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the gradient by the input and returns `(d_x, stats)`: d_x `[R, C]` and stats `[R, 2]`. x and d_y are
/// `[R, C]`, gamma is `[C]`.
pub fn layer_norm_backward(g: &mut Graph, x: Tensor, gamma: Tensor, d_y: Tensor, eps: f32) -> (Tensor, Tensor) {
    let d_x = g.temp("d_layer_norm", x.rows, x.cols);
    let stats = g.temp("layer_norm_stats", x.rows, 2);
    let params = Params { rows: x.rows, cols: x.cols, eps };
    g.call(&OP, &[x, gamma, d_y], &[d_x, stats], params);
    (d_x, stats)
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { eps, .. } = Params::resolved(call.params);
    let [x, gamma, d_y] = [0, 1, 2].map(|i| call.reads[i].plain());
    let [d_x, stats] = call.writes else { unreachable!("two results") };
    rows::layer_norm_backward(call.dispatch, d_x, stats, x, gamma, d_y, eps);
}
