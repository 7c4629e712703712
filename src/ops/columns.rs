//! Some columns of a tensor times a number, into some columns of another or on top of them: `y[:, b..b+C] (+)= s x[:, a..a+C]`.
//!
//! x `[R, X]`, y `[R, Y]`. Adapters have it for the rows of a fused weight that they adapt, and for their scale.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

pub static OP: Op = Op {
    name: "columns",
    params: &["rows", "cols", "x_pitch", "x_first", "y_pitch", "y_first", "scale", "add"],
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("columns", "../../shaders/columns.wgsl", |w| [groups(w[1], 64), groups(w[0], 16), 1]),
    flops: |w| 2.0 * f64::from(w[0]) * f64::from(w[1]),
};

/// Records `scale` times the `cols` columns of x from `first` on, as a tensor of their own.
pub fn take_columns(g: &mut Graph, name: &str, x: Tensor, first: u32, cols: u32, scale: f32) -> Tensor {
    let y = g.temp(name, x.rows, cols);
    record(g, (x, first), (y, 0), cols, scale, false);
    y
}

/// Records the addition of x to the columns of y from `first` on, in place.
pub fn add_columns(g: &mut Graph, x: Tensor, y: Tensor, first: u32) {
    record(g, (x, 0), (y, first), x.cols, 1.0, true);
}

fn record(g: &mut Graph, x: (Tensor, u32), y: (Tensor, u32), cols: u32, scale: f32, add: bool) {
    assert!(x.1 + cols <= x.0.cols && y.1 + cols <= y.0.cols, "columns that are there");
    let reads = [x.0, y.0];
    let reads = if add { &reads[..] } else { &reads[..1] };
    let [x_pitch, x_first, y_pitch, y_first] = [x.0.cols, x.1, y.0.cols, y.1].map(Word::U32);
    let ends = [Word::F32(scale), Word::U32(u32::from(add))];
    let params = [&[Word::Rows(x.0.rows), Word::U32(cols), x_pitch, x_first, y_pitch, y_first][..], &ends].concat();
    g.call(&OP, reads, &[y.0], params);
}

fn twin(call: &mut CpuCall<'_>) {
    let [rows, cols, x_pitch, x_first, y_pitch, y_first, scale, add] = *call.params else {
        unreachable!("eight parameters")
    };
    let [rows, cols, x_pitch, x_first, y_pitch, y_first] =
        [rows, cols, x_pitch, x_first, y_pitch, y_first].map(|n| n as usize);
    let (x, scale) = (call.reads[0].plain(), f32::from_bits(scale));
    parallel::for_rows(call.dispatch, rows, [(&mut *call.writes[0], y_pitch)], |range, [y], _| {
        for (row, y) in range.zip(y.chunks_exact_mut(y_pitch)) {
            let y = &mut y[y_first..][..cols];
            let x = &x[row * x_pitch + x_first..][..cols];
            match add {
                0 => y.iter_mut().zip(x).for_each(|(y, x)| *y = scale * x),
                _ => y.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x),
            }
        }
    });
}
