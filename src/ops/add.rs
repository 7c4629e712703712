//! `y += x`: adds up the gradients of a tensor that is used twice.
//!
//! x and y are `[R, C]`.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { rows: Rows, cols: u32 }

/// The op `add`: reads x `[R, C]`, updates y `[R, C]` in place.
pub static OP: Op = Op {
    name: "add",
    params: Params::STRUCT,
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("add", "../../shaders/add.wgsl", resolved!(|p| spread(p.rows * p.cols, 256))),
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `y += x`, in place. Both are `[R, C]`.
pub fn add(g: &mut Graph, x: Tensor, y: Tensor) {
    g.call(&OP, &[x, y], &[y], Params { rows: x.rows, cols: x.cols });
}

fn twin(call: &mut CpuCall<'_>) {
    let x = call.reads[0].plain();
    parallel::for_rows(call.dispatch, x.len(), [(&mut *call.writes[0], 1)], |range, [y], _| {
        y.iter_mut().zip(&x[range]).for_each(|(y, x)| *y += x);
    });
}
