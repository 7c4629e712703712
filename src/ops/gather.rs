//! `y[r] = x[index[r]]`: takes some rows, for example the hidden states of the masked tokens.
//!
//! x is `[T, C]`, index `[R]` is u32 and below T, y is `[R, C]`.

use crate::device::cpu::CpuCall;
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32 }

/// The op `gather`: reads x `[T, C]` and index `[R]` (u32), writes y `[R, C]`.
pub static OP: Op = Op {
    name: "gather",
    params: Params::STRUCT,
    reads: &["x", "index"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "gather",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |_| vec![include_str!("../../shaders/gather.wgsl")],
        overrides: |_| Vec::new(),
        grid: resolved!(|p| [groups(p.cols, 64), p.rows, 1]),
    }],
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the choice of x's rows and returns y `[R, C]`. x is `[T, C]`; index `[R]` is u32 and below T.
pub fn gather(g: &mut Graph, name: &str, x: Tensor, index: Tensor) -> Tensor {
    let y = g.temp(name, index.rows, x.cols);
    g.call(&OP, &[x, index], &[y], Params { rows: index.rows, cols: x.cols });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, .. } = Params::resolved(call.params);
    let cols = cols as usize;
    let x = call.reads[0].plain();
    let index: &[u32] = bytemuck::cast_slice(call.reads[1].plain());
    for (row, at) in call.writes[0].chunks_exact_mut(cols).zip(index) {
        row.copy_from_slice(&x[*at as usize * cols..][..cols]);
    }
}
