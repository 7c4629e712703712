//! `y = 0`: what a scatter adds to.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

pub static OP: Op = Op {
    name: "zero",
    params: &["rows", "cols"],
    reads: &[],
    writes: &["y"],
    twin,
    variants: only!("zero", "../../shaders/zero.wgsl", |w| spread(w[0] * w[1], 256)),
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records a tensor of zeros.
pub fn zero(g: &mut Graph, name: &str, rows: Rows, cols: u32) -> Tensor {
    let y = g.temp(name, rows, cols);
    g.call(&OP, &[], &[y], vec![Word::Rows(rows), Word::U32(cols)]);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let len = call.writes[0].len();
    parallel::for_rows(call.dispatch, len, [(&mut *call.writes[0], 1)], |_, [y], _| y.fill(0.0));
}
