//! The second half of a sum over rows: `y += x[0] + x[1] + …`, of the few rows that partial sums are.
//!
//! x `[P, C]`, y C elements, updated in place.

use crate::device::cpu::CpuCall;
use crate::device::{Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "column_reduce",
    params: &["rows", "cols"],
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("column_reduce", "../../shaders/column_reduce.wgsl", |w| [groups(w[1], 64), 1, 1]),
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records the sum of `x`'s rows onto `y`.
pub fn column_reduce(g: &mut Graph, x: Tensor, y: Tensor) {
    g.call(&OP, &[x, y], &[y], vec![Word::Rows(x.rows), Word::U32(x.cols)]);
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols] = *call.params else { unreachable!("two parameters") };
    let x = call.reads[0].plain();
    for (c, y) in call.writes[0].iter_mut().enumerate() {
        *y += x.iter().skip(c).step_by(cols as usize).sum::<f32>();
    }
}
