//! The first half of a sum over rows, such as a bias's gradient: `y[p] = x[p] + x[p + P] + x[p + 2 P]…`.
//!
//! x `[R, C]`, y `[P, C]`; [`column_reduce`](super::column_reduce) is the other half. P is fixed, so the order of
//! summation depends on R alone.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::{column_reduce::column_reduce, groups};

/// P: enough to keep a GPU busy, few enough that the second half is nothing.
pub const PARTS: u32 = 32;

pub static OP: Op = Op {
    name: "column_partials",
    params: &["rows", "cols", "parts"],
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: only!("column_partials", "../../shaders/column_partials.wgsl", |w| [groups(w[1], 64), w[2], 1]),
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records `sum += Σ x[r]` over all rows of x `[R, C]`; `sum` has C elements.
pub fn column_sum(g: &mut Graph, x: Tensor, sum: Tensor) {
    let parts = g.temp("partials", Rows::Fixed(PARTS), x.cols);
    g.call(&OP, &[x], &[parts], vec![Word::Rows(x.rows), Word::U32(x.cols), Word::U32(PARTS)]);
    column_reduce(g, parts, sum);
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols, parts] = *call.params else { unreachable!("three parameters") };
    let (cols, parts) = (cols as usize, parts as usize);
    let x = call.reads[0].plain();
    parallel::for_blocks(call.dispatch, parts, 1, [(&mut *call.writes[0], cols)], |range, [sums], _| {
        sums.fill(0.0);
        for row in x.chunks_exact(cols).skip(range.start).step_by(parts) {
            sums.iter_mut().zip(row).for_each(|(s, x)| *s += x);
        }
    });
}
