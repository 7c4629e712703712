//! `y += x`: gradients of one tensor from two uses of it.
//!
//! x and y `[R, C]`.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

pub static OP: Op = Op {
    name: "add",
    params: &["rows", "cols"],
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("add", "../../shaders/add.wgsl", |w| spread(w[0] * w[1], 256)),
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records the addition of `x` to `y`, in place.
pub fn add(g: &mut Graph, x: Tensor, y: Tensor) {
    g.call(&OP, &[x, y], &[y], vec![Word::Rows(x.rows), Word::U32(x.cols)]);
}

fn twin(call: &mut CpuCall<'_>) {
    let x = call.reads[0].plain();
    parallel::for_rows(call.dispatch, x.len(), [(&mut *call.writes[0], 1)], |range, [y], _| {
        y.iter_mut().zip(&x[range]).for_each(|(y, x)| *y += x);
    });
}
