//! `y = (x - mean(x)) / sqrt(var(x) + eps) * gamma + beta`, over each row; always in f32.
//!
//! x and y `[R, C]`, gamma and beta `[C]`. The variance is the mean of squares, not the sample's.

use crate::device::cpu::{CpuCall, rows};
use crate::device::{Family, Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "layer_norm",
    params: &["rows", "cols", "eps"],
    reads: &["x", "gamma", "beta"],
    writes: &["y"],
    twin,
    variants: &[
        Variant {
            name: "layer_norm_registers_vec4",
            family: Family::Registers,
            fits: |site, _| site.param("cols").is_some_and(|c| c % 4 == 0),
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_registers_vec4.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[0], 8), 1, 1],
        },
        Variant {
            name: "layer_norm_registers",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_registers.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[0], 8), 1, 1],
        },
        Variant {
            name: "layer_norm_tiles",
            family: Family::Tiles,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/layer_norm_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [w[0].min(32768), groups(w[0], 32768), 1],
        },
    ],
    flops: |w| 8.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records the normalisation of every row of `x`.
pub fn layer_norm(g: &mut Graph, name: &str, x: Tensor, gamma: Tensor, beta: Tensor, eps: f32) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    g.call(&OP, &[x, gamma, beta], &[y], vec![Word::Rows(x.rows), Word::U32(x.cols), Word::F32(eps)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, _, eps] = *call.params else { unreachable!("three parameters") };
    let [x, gamma, beta] = [0, 1, 2].map(|i| call.reads[i].plain());
    rows::layer_norm(call.dispatch, call.writes[0], x, gamma, beta, f32::from_bits(eps));
}
