//! `y = x diag(s)`. It scales the gradient of a layer's output before it goes back through an i8 weight, because the
//! weight's scales then lie along the sum.
//!
//! x and y are `[R, C]`, s is `[C]`.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { rows: Rows, cols: u32 }

/// The op `scale_columns`: reads x `[R, C]` and s `[C]`, writes y `[R, C]`.
pub static OP: Op = Op {
    name: "scale_columns",
    params: Params::STRUCT,
    reads: &["x", "s"],
    writes: &["y"],
    twin,
    variants: only!("scale_columns", "../../shaders/scale_columns.wgsl", resolved!(|p| spread(p.rows * p.cols, 64))),
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `y = x diag(s)` and returns y `[R, C]`. x is `[R, C]`, s is `[C]`.
pub fn scale_columns(g: &mut Graph, x: Tensor, s: Tensor) -> Tensor {
    let y = g.temp("scaled", x.rows, x.cols);
    g.call(&OP, &[x, s], &[y], Params { rows: x.rows, cols: x.cols });
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { rows, cols } = Params::resolved(call.params);
    let (x, s) = (call.reads[0].plain(), call.reads[1].plain());
    let cols = cols as usize;
    parallel::for_rows(call.dispatch, rows as usize, [(&mut *call.writes[0], cols)], |range, [y], _| {
        for (row, y) in range.zip(y.chunks_exact_mut(cols)) {
            let x = &x[row * cols..(row + 1) * cols];
            y.iter_mut().zip(x).zip(s).for_each(|((y, x), s)| *y = x * s);
        }
    });
}
