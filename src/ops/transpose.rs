//! `y = xᵀ`: the left side of `dW = dYᵀ X`, whose sums run over the rows of dY.
//!
//! x `[R, C]`; y `[C, R']`, R' the rows rounded up to [`UNIT`], the rest zeros: kernels read whole vectors along a sum.

use crate::device::cpu::{CpuCall, train};
use crate::device::{Family, Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::ops::matmul::fits_tile;

/// Rows are filled up to a multiple of this.
pub const UNIT: u32 = 4;

pub static OP: Op = Op {
    name: "transpose",
    params: &["rows", "cols", "pitch"],
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
            grid: |w| [groups(w[1], 32), groups(w[2], 32), 1],
        },
        Variant {
            name: "transpose_plain",
            family: Family::Registers,
            fits: |_, _| true,
            wgsl: |_| vec![include_str!("../../shaders/transpose_plain.wgsl")],
            overrides: |_| Vec::new(),
            grid: |w| [groups(w[1], 64), groups(w[2], 16), 1],
        },
    ],
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records the transposition. The result's recorded shape is that of its memory, `[R', C]`.
pub fn transpose(g: &mut Graph, x: Tensor) -> Tensor {
    let y = g.temp("transposed", x.rows.to(UNIT), x.cols);
    g.call(&OP, &[x], &[y], vec![Word::Rows(x.rows), Word::U32(x.cols), Word::Rows(y.rows)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [rows, cols, pitch] = *call.params else { unreachable!("three parameters") };
    let [rows, cols, pitch] = [rows, cols, pitch].map(|n| n as usize);
    train::transpose(call.dispatch, call.writes[0], call.reads[0].plain(), rows, cols, pitch);
}
