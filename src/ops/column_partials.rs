//! The first half of a sum over rows, such as a bias's gradient: `y[p] = x[p] + x[p + P] + x[p + 2 P]…`.
//!
//! x is `[R, C]`, y is `[P, C]`. [`column_reduce`](super::column_reduce) is the other half. P is fixed, so the order of
//! summation depends on R alone.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::{column_reduce::column_reduce, groups};

/// P, the number of partial sums: enough to keep a GPU busy, and few enough that the second half costs almost nothing.
pub const PARTS: u32 = 32;

params! { rows: Rows, cols: u32, parts: u32 }

/// The op `column_partials`: reads x `[R, C]`, writes y `[P, C]`.
pub static OP: Op = Op {
    name: "column_partials",
    params: Params::STRUCT,
    reads: &["x"],
    writes: &["y"],
    twin,
    variants: only!("column_partials", "../../shaders/column_partials.wgsl", resolved!(|p| [groups(p.cols, 64), p.parts, 1])),
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// Records `sum += Σ x[r]` over all rows of x `[R, C]`, in place; `sum` has C elements.
pub fn column_sum(g: &mut Graph, x: Tensor, sum: Tensor) {
    let parts = g.temp("partials", Rows::Fixed(PARTS), x.cols);
    g.call(&OP, &[x], &[parts], Params { rows: x.rows, cols: x.cols, parts: PARTS });
    column_reduce(g, parts, sum);
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, parts, .. } = Params::resolved(call.params);
    let (cols, parts) = (cols as usize, parts as usize);
    let x = call.reads[0].plain();
    parallel::for_blocks(call.dispatch, parts, 1, [(&mut *call.writes[0], cols)], |range, [sums], _| {
        sums.fill(0.0);
        for row in x.chunks_exact(cols).skip(range.start).step_by(parts) {
            sums.iter_mut().zip(row).for_each(|(s, x)| *s += x);
        }
    });
}
