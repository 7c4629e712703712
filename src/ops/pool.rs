//! One row a sequence from its tokens' rows: the first, the mean, the maximum, or the sum over the square root of their number.
//!
//! x `[T, C]`, bounds `[B + 1]`; y `[B, C]`.

use crate::device::cpu::CpuCall;
use crate::device::{Family, Op, Rows, Variant, Word};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::pooling::Pooling;

pub static OP: Op = Op {
    name: "pool",
    params: &["sequences", "cols", "mode"],
    reads: &["x", "bounds"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "pool",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |_| vec![include_str!("../../shaders/pool.wgsl")],
        overrides: |_| Vec::new(),
        grid: |w| [groups(w[1], 64), w[0], 1],
    }],
    // The batch's tokens are not a parameter, and the work is next to nothing beside a matmul.
    flops: |w| f64::from(w[0]) * f64::from(w[1]),
};

/// Records the pooling of `x` over the sequences that `bounds` cuts it into.
pub fn pool(g: &mut Graph, name: &str, x: Tensor, bounds: Tensor, pooling: Pooling) -> Tensor {
    let y = g.temp(name, Rows::Sequences, x.cols);
    let params = vec![Word::Rows(Rows::Sequences), Word::U32(x.cols), Word::U32(pooling.id())];
    g.call(&OP, &[x, bounds], &[y], params);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let [_, cols, mode] = *call.params else { unreachable!("three parameters") };
    let cols = cols as usize;
    let x = call.reads[0].plain();
    let bounds: &[u32] = bytemuck::cast_slice(call.reads[1].plain());
    for (y, range) in call.writes[0].chunks_exact_mut(cols).zip(bounds.windows(2)) {
        let mut tokens = x[range[0] as usize * cols..range[1] as usize * cols].chunks_exact(cols);
        let n = tokens.len() as f32;
        if let Some(first) = tokens.next() {
            y.copy_from_slice(first);
        }
        if mode == Pooling::Cls.id() {
            continue;
        }
        for token in tokens {
            let pairs = y.iter_mut().zip(token);
            if mode == Pooling::Max.id() {
                pairs.for_each(|(y, x)| *y = y.max(*x));
            } else {
                pairs.for_each(|(y, x)| *y += x);
            }
        }
        if mode == Pooling::Mean.id() {
            y.iter_mut().for_each(|y| *y /= n);
        } else if mode == Pooling::MeanSqrtLen.id() {
            y.iter_mut().for_each(|y| *y /= n.sqrt());
        }
    }
}
