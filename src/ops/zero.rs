//! `y = 0`: a new tensor of zeros, to which a [`scatter`](super::scatter) or a sum is added.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { rows: Rows, cols: u32 }

/// The op `zero`: reads nothing, writes y `[R, C]`.
pub static OP: Op = Op {
    name: "zero",
    params: Params::STRUCT,
    reads: &[],
    writes: &["y"],
    twin,
    variants: only!("zero", "../../shaders/zero.wgsl", resolved!(|p| spread(p.rows * p.cols, 256))),
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records a tensor `[rows, cols]` of zeros and returns it.
pub fn zero(g: &mut Graph, name: &str, rows: Rows, cols: u32) -> Tensor {
    let y = g.temp(name, rows, cols);
    g.call(&OP, &[], &[y], Params { rows, cols });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let len = call.writes[0].len();
    parallel::for_rows(call.dispatch, len, [(&mut *call.writes[0], 1)], |_, [y], _| y.fill(0.0));
}
