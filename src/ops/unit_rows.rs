//! `y[r, :] = x[r, :] / max(|x[r, :]|, 1e-12)`: every row scaled to length 1, as PyTorch's `normalize`; zeros stay zeros.
//!
//! x and y `[R, C]`.

use crate::device::cpu::CpuCall;
use crate::device::{Family, Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "unit_rows",
    params: &["rows", "cols"],
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "unit_rows",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |_| vec![include_str!("../../shaders/unit_rows.wgsl")],
        overrides: |_| Vec::new(),
        grid: |w| [groups(w[0], 8), 1, 1],
    }],
    flops: |w| 3.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records the scaling of every row of `x`.
pub fn unit_rows(g: &mut Graph, name: &str, x: Tensor) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    g.call(&OP, &[x], &[y], vec![Word::Rows(x.rows), Word::U32(x.cols)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols] = *call.params else { unreachable!("two parameters") };
    let x = call.reads[0].plain();
    for (y, x) in call.writes[0].chunks_exact_mut(cols as usize).zip(x.chunks_exact(cols as usize)) {
        let length = x.iter().fold(0.0, |sum, x| sum + x * x).sqrt().max(1e-12);
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x / length);
    }
}
