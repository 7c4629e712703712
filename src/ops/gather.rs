//! `y[r] = x[index[r]]`: chosen rows, such as the masked tokens' hidden states.
//!
//! x `[T, C]`, index `[R]` u32, each below T; y `[R, C]`.

use crate::device::cpu::CpuCall;
use crate::device::{Family, Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "gather",
    params: &["rows", "cols"],
    reads: &["x", "index"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "gather",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |_| vec![include_str!("../../shaders/gather.wgsl")],
        overrides: |_| Vec::new(),
        grid: |w| [groups(w[1], 64), w[0], 1],
    }],
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records the choice of `x`'s rows that `index` names.
pub fn gather(g: &mut Graph, name: &str, x: Tensor, index: Tensor) -> Tensor {
    let y = g.temp(name, index.rows, x.cols);
    g.call(&OP, &[x, index], &[y], vec![Word::Rows(index.rows), Word::U32(x.cols)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols] = *call.params else { unreachable!("two parameters") };
    let cols = cols as usize;
    let x = call.reads[0].plain();
    let index: &[u32] = bytemuck::cast_slice(call.reads[1].plain());
    for (row, at) in call.writes[0].chunks_exact_mut(cols).zip(index) {
        row.copy_from_slice(&x[*at as usize * cols..][..cols]);
    }
}
