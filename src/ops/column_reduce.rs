//! The second half of a sum over rows, `y += x[0] + x[1] + …`: it adds up the few rows of partial sums.
//!
//! x is `[P, C]`. y has C elements and is updated in place.

use crate::device::cpu::CpuCall;
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32 }

/// The op `column_reduce`: reads x `[P, C]`, updates y (C elements) in place.
pub static OP: Op = Op {
    name: "column_reduce",
    params: Params::STRUCT,
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("column_reduce", "../../shaders/column_reduce.wgsl", resolved!(|p| [groups(p.cols, 64), 1, 1])),
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `y += Σ x[p]` over the rows of x `[P, C]`, in place; `y` has C elements.
pub fn column_reduce(g: &mut Graph, x: Tensor, y: Tensor) {
    g.call(&OP, &[x, y], &[y], Params { rows: x.rows, cols: x.cols });
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, .. } = Params::resolved(call.params);
    let x = call.reads[0].plain();
    for (c, y) in call.writes[0].iter_mut().enumerate() {
        *y += x.iter().skip(c).step_by(cols as usize).sum::<f32>();
    }
}
