//! Adds the squares of a tensor to partial sums. Over all gradients, they give the global norm.
//!
//! x has any shape. y is `[P, 1]`; `y[j] += Σ x[j + i P]²`, in place. The host reads nothing back: AdamW reads the sum
//! of y.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::{column_partials::column_sum, groups, zero::zero};

/// P, the number of partial sums, and of threads that one tensor keeps busy.
const PARTS: u32 = 1024;

params! { len: u32, parts: u32 }

/// The op `square_sum`: reads x of any shape, updates y `[P, 1]` in place.
pub static OP: Op = Op {
    name: "square_sum",
    params: Params::STRUCT,
    reads: &["x", "y"],
    writes: &["y"],
    twin,
    variants: only!("square_sum", "../../shaders/square_sum.wgsl", resolved!(|p| [groups(p.parts, 64), 1, 1])),
    flops: resolved!(|p| 2.0 * f64::from(p.len)),
};

/// Records `sum += Σ x²` over all elements of all `tensors`, whose shapes must be fixed; `sum` is one element.
pub fn square_sum(g: &mut Graph, tensors: &[Tensor], sum: Tensor) {
    let parts = zero(g, "squares", Rows::Fixed(PARTS), 1);
    for x in tensors {
        let Rows::Fixed(rows) = x.rows else { unreachable!("a parameter's shape is fixed") };
        g.call(&OP, &[*x, parts], &[parts], Params { len: rows * x.cols, parts: PARTS });
    }
    column_sum(g, parts, sum);
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { parts, .. } = Params::resolved(call.params);
    let parts = parts as usize;
    let x = call.reads[0].plain();
    parallel::for_blocks(call.dispatch, parts, 256, [(&mut *call.writes[0], 1)], |range, [y], _| {
        let mut sums = [0.0; 256];
        for row in x.chunks(parts) {
            let own = &row[range.start.min(row.len())..range.end.min(row.len())];
            sums.iter_mut().zip(own).for_each(|(s, x)| *s += x * x);
        }
        y.iter_mut().zip(sums).for_each(|(y, s)| *y += s);
    });
}
