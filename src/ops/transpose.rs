//! `y = xᵀ`: the left side of `dW = dYᵀ X`, which sums over the rows of dY.
//!
//! x is `[R, C]`; y is `[C, R']`, where R' is R rounded up to a multiple of [`UNIT`]. The added elements are zeros,
//! because kernels read whole vectors along a sum.

use crate::device::cpu::{CpuCall, train};
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::ops::matmul::fits_tile;

/// R' is a multiple of this.
pub const UNIT: u32 = 4;

params! { rows: Rows, cols: u32, pitch: Rows }

/// The op `transpose`: reads x `[R, C]`, writes y `[C, R']`.
pub static OP: Op = Op {
    name: "transpose",
    params: Params::STRUCT,
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: &[
        Variant {
            name: "transpose_tiles",
            family: Family::Tiles,
            fits: |_, limits| fits_tile(limits, 256, 33 * 32 * 4),
            wgsl: |_| vec![include_str!("../../shaders/transpose_tiles.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.cols, 32), groups(p.pitch, 32), 1]),
        },
        Variant {
            name: "transpose_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/transpose_plain.wgsl")],
            overrides: |_| Vec::new(),
            grid: resolved!(|p| [groups(p.cols, 64), groups(p.pitch, 16), 1]),
        },
    ],
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `y = xᵀ` and returns y `[C, R']`. Its recorded shape is `[R', C]`, which takes the same memory.
pub fn transpose(g: &mut Graph, x: Tensor) -> Tensor {
    let y = g.temp("transposed", x.rows.to(UNIT), x.cols);
    g.call(&OP, &[x], &[y], Params { rows: x.rows, cols: x.cols, pitch: y.rows });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { rows, cols, pitch } = Params::resolved(call.params);
    let [rows, cols, pitch] = [rows, cols, pitch].map(|n| n as usize);
    train::transpose(call.dispatch, call.writes[0], call.reads[0].plain(), rows, cols, pitch);
}
