//! `y[r, :] = x[r, :] / max(|x[r, :]|, 1e-12)`: scales every row to length 1, as PyTorch's `normalize` does. Rows of
//! zeros stay zeros.
//!
//! x and y are `[R, C]`.

use crate::device::cpu::CpuCall;
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32 }

/// The op `unit_rows`: reads x `[R, C]`, writes y `[R, C]`.
pub static OP: Op = Op {
    name: "unit_rows",
    params: Params::STRUCT,
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "unit_rows",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |_| vec![include_str!("../../shaders/unit_rows.wgsl")],
        overrides: |_| Vec::new(),
        grid: resolved!(|p| [groups(p.rows, 8), 1, 1]),
    }],
    flops: resolved!(|p| 3.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records the scaling of every row of x `[R, C]` to length 1 and returns y `[R, C]`.
pub fn unit_rows(g: &mut Graph, name: &str, x: Tensor) -> Tensor {
    let y = g.temp(name, x.rows, x.cols);
    g.call(&OP, &[x], &[y], Params { rows: x.rows, cols: x.cols });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, .. } = Params::resolved(call.params);
    let x = call.reads[0].plain();
    for (y, x) in call.writes[0].chunks_exact_mut(cols as usize).zip(x.chunks_exact(cols as usize)) {
        let length = x.iter().fold(0.0, |sum, x| sum + x * x).sqrt().max(1e-12);
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x / length);
    }
}
