//! `y = (x - mean(x)) / sqrt(var(x) + eps) * gamma + beta` over each row, always in f32 (Ba et al., arXiv:1607.06450).
//!
//! x and y are `[R, C]`, gamma and beta `[C]`. The variance divides by C, not by C - 1.

use crate::device::cpu::{CpuCall, rows};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32, eps: f32 }

/// The op `layer_norm`: reads x `[R, C]`, gamma and beta `[C]`; writes y `[R, C]`.
pub static OP: Op = Op {
    name: "layer_norm",
    params: Params::STRUCT,
    reads: &["x", "gamma", "beta"],
    writes: &["y"],
    twin,
    variants: &[
        Variant {
            name: "layer_norm_registers_vec4",
            family: Family::Registers,
            fits: |call, _| Params::recorded(call).cols.is_multiple_of(4),
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_registers_vec4.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.rows, 8), 1, 1]),
        },
        Variant {
            name: "layer_norm_registers",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_registers.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.rows, 8), 1, 1]),
        },
        Variant {
            name: "layer_norm_tiles",
            family: Family::Tiles,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [p.rows.min(32768), groups(p.rows, 32768), 1]),
        },
    ],
    flops: resolved!(|p| 8.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the normalization of every row of x `[R, C]` and returns y `[R, C]`. gamma and beta are `[C]`.
pub fn layer_norm(g: &mut Graph, name: &str, x: Tensor, gamma: Tensor, beta: Tensor, eps: f32) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    g.call(&OP, &[x, gamma, beta], &[y], Params { rows: x.rows, cols: x.cols, eps });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { eps, .. } = Params::resolved(call.params);
    let [x, gamma, beta] = [0, 1, 2].map(|i| call.reads[i].plain());
    rows::layer_norm(call.dispatch, call.writes[0], x, gamma, beta, eps);
}
