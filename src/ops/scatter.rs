//! `y[row] += Σ x[order[i]]` over the rows of a segment: the gradient of gathered rows and of embedding tables.
//!
//! x is `[R, C]`; order `[R]` (u32) lists the rows of x, sorted by their target; segments `[R, 3]` (u32) are
//! `(row of y, first, end)` within the order; y `[·, C]` is updated in place. Because the host sorts the rows, no two
//! threads add to one element. So there are no atomics, and the order of summation is fixed. Unused segments are empty.

use crate::device::cpu::CpuCall;
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;

params! { rows: Rows, cols: u32 }

/// The op `scatter`: reads x `[R, C]`, order `[R]` and segments `[R, 3]` (both u32); updates y `[·, C]` in place.
pub static OP: Op = Op {
    name: "scatter",
    params: Params::STRUCT,
    reads: &["x", "order", "segments", "y"],
    writes: &["y"],
    twin,
    variants: only!("scatter", "../../shaders/scatter.wgsl", resolved!(|p| [groups(p.cols, 64), groups(p.rows, 4), 1])),
    flops: resolved!(|p| f64::from(p.rows) * f64::from(p.cols)),
};

/// The host's part: for rows of x that go to `targets` `[R]`, returns the order `[R]` and the segments `[R, 3]`.
pub fn sorted(targets: &[u32]) -> (Vec<u32>, Vec<[u32; 3]>) {
    let mut order: Vec<u32> = (0..targets.len() as u32).collect();
    order.sort_by_key(|i| targets[*i as usize]);
    let mut segments: Vec<[u32; 3]> = Vec::new();
    for (at, row) in (0..).zip(order.iter().map(|i| targets[*i as usize])) {
        match segments.last_mut().filter(|last| last[0] == row) {
            Some(last) => last[2] = at + 1,
            None => segments.push([row, at, at + 1]),
        }
    }
    segments.resize(targets.len(), [0; 3]);
    (order, segments)
}

/// Records the sums, which are added to y `[·, C]` in place. x is `[R, C]`; [`sorted`] gives order `[R]` and segments
/// `[R, 3]`.
pub fn scatter(g: &mut Graph, x: Tensor, order: Tensor, segments: Tensor, y: Tensor) {
    g.call(&OP, &[x, order, segments, y], &[y], Params { rows: x.rows, cols: x.cols });
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, .. } = Params::resolved(call.params);
    let cols = cols as usize;
    let x = call.reads[0].plain();
    let [order, segments] = [1, 2].map(|i| bytemuck::cast_slice::<f32, u32>(call.reads[i].plain()));
    let y = &mut *call.writes[0];
    let whole = segments.chunks_exact(3).filter(|s| s[1] < s[2]);
    for segment in whole {
        let row = &mut y[segment[0] as usize * cols..][..cols];
        let first = order[segment[1] as usize] as usize;
        let rest = &order[segment[1] as usize + 1..segment[2] as usize];
        // Like the kernel, this first sums the terms, then adds the sum.
        match rest {
            [] => row.iter_mut().zip(&x[first * cols..]).for_each(|(y, x)| *y += x),
            _ => {
                let mut sum = x[first * cols..][..cols].to_vec();
                for i in rest {
                    sum.iter_mut().zip(&x[*i as usize * cols..]).for_each(|(s, x)| *s += x);
                }
                row.iter_mut().zip(&sum).for_each(|(y, s)| *y += s);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_into_segments() {
        let (order, segments) = sorted(&[5, 2, 5, 0, 5]);
        assert_eq!(order, [3, 1, 0, 2, 4]);
        assert_eq!(segments, [[0, 0, 1], [2, 1, 2], [5, 2, 5], [0; 3], [0; 3]]);
        assert_eq!(sorted(&[]), (Vec::new(), Vec::new()));
    }
}
