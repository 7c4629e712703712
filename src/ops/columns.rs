//! Copies or adds some columns of a tensor, times a number, into some columns of another:
//! `y[:, b..b+C] (+)= s x[:, a..a+C]`.
//!
//! x is `[R, X]`, y is `[R, Y]`. Adapters use it for their scale, and for the part of a fused weight that they adapt.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32, x_pitch: u32, x_first: u32, y_pitch: u32, y_first: u32, scale: f32, add: bool }

/// The op `columns`: reads x `[R, X]`, writes y `[R, Y]` or updates it in place.
pub static OP: Op = Op {
    name: "columns",
    params: Params::STRUCT,
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("columns", "../../shaders/columns.wgsl", resolved!(|p| [groups(p.cols, 64), groups(p.rows, 16), 1])),
    flops: resolved!(|p| 2.0 * f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `scale` times columns `first..first + cols` of x `[R, X]` and returns the result, a new tensor `[R, cols]`.
pub fn take_columns(g: &mut Graph, name: &str, x: Tensor, first: u32, cols: u32, scale: f32) -> Tensor {
    let y = g.temp(name, x.rows, cols);
    record(g, (x, first), (y, 0), cols, scale, false);
    y
}

/// Records `y[:, first..first + C] += x`, in place. x is `[R, C]`, y is `[R, Y]`.
pub fn add_columns(g: &mut Graph, x: Tensor, y: Tensor, first: u32) {
    record(g, (x, 0), (y, first), x.cols, 1.0, true);
}

fn record(g: &mut Graph, x: (Tensor, u32), y: (Tensor, u32), cols: u32, scale: f32, add: bool) {
    assert!(x.1 + cols <= x.0.cols && y.1 + cols <= y.0.cols, "columns that are there");
    let reads = [x.0, y.0];
    let reads = if add { &reads[..] } else { &reads[..1] };
    let params = Params {
        rows: x.0.rows,
        cols,
        x_pitch: x.0.cols,
        x_first: x.1,
        y_pitch: y.0.cols,
        y_first: y.1,
        scale,
        add,
    };
    g.call(&OP, reads, &[y.0], params);
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { rows, cols, x_pitch, x_first, y_pitch, y_first, scale, add } = Params::resolved(call.params);
    let [rows, cols, x_pitch, x_first, y_pitch, y_first] =
        [rows, cols, x_pitch, x_first, y_pitch, y_first].map(|n| n as usize);
    let x = call.reads[0].plain();
    parallel::for_rows(call.dispatch, rows, [(&mut *call.writes[0], y_pitch)], |range, [y], _| {
        for (row, y) in range.zip(y.chunks_exact_mut(y_pitch)) {
            let y = &mut y[y_first..][..cols];
            let x = &x[row * x_pitch + x_first..][..cols];
            if add {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x);
            } else {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = scale * x);
            }
        }
    });
}
