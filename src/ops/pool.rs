//! Pools the tokens of each sequence into one row, by one pooling or several side by side, as sentence-transformers'
//! `Pooling` does.
//!
//! x is `[T, C]`, bounds are `[B + 1]`, y is `[B, P C]`. skip `[B]` is the number of tokens to ignore at the start of
//! each sequence. If no token remains, `Cls` takes the first token, and the other poolings give zeros.

use crate::device::cpu::CpuCall;
use crate::device::{Family, Op, Rows, Variant, params, resolved};
use crate::graph::{Graph, Tensor};
use crate::ops::groups;
use crate::pooling::Pooling;

params! { sequences: Rows, cols: u32, modes: u32, poolings: u32, skips: bool }

/// The op `pool`: reads x `[T, C]`, bounds `[B + 1]` and skip `[B]` (both u32); writes y `[B, P C]`.
pub static OP: Op = Op {
    name: "pool",
    params: Params::STRUCT,
    reads: &["x", "bounds", "skip"],
    writes: &["y"],
    twin,
    variants: &[Variant {
        name: "pool",
        family: Family::Registers,
        fits: |_, _| true,
        wgsl: |_| vec![include_str!("../../shaders/pool.wgsl")],
        overrides: |_| Vec::new(),
        grid: resolved!(|p| [groups(p.cols * p.poolings, 64), p.sequences, 1]),
    }],
    // The number of tokens is not a parameter, and this work is tiny compared to a matmul.
    flops: resolved!(|p| f64::from(p.sequences) * f64::from(p.cols) * f64::from(p.poolings)),
};

/// The bits that each pooling takes in `modes`.
const BITS: u32 = 3;

/// Records the `poolings` of x `[T, C]`, side by side, for each of the B sequences, and returns y `[B, P C]`. bounds
/// are `[B + 1]`; skip, if given, is `[B]`.
///
/// # Panics
/// If there is no pooling, or more than [`Pooling::MOST`].
pub fn pool(
    g: &mut Graph,
    name: &str,
    x: Tensor,
    bounds: Tensor,
    poolings: &[Pooling],
    skip: Option<Tensor>,
) -> Tensor {
    let count = poolings.len();
    assert!((1..=Pooling::MOST).contains(&count), "{name}: {count} poolings");
    let modes = poolings.iter().rev().fold(0, |modes, pooling| modes << BITS | pooling.id());
    let y = g.temp(name, Rows::Sequences, x.cols * count as u32);
    let (poolings, skips) = (count as u32, skip.is_some());
    let params = Params { sequences: Rows::Sequences, cols: x.cols, modes, poolings, skips };
    // If nothing is skipped, the binding gets the bounds, which the kernel does not read.
    g.call(&OP, &[x, bounds, skip.unwrap_or(bounds)], &[y], params);
    y
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { cols, modes, poolings: count, skips, .. } = Params::resolved(call.params);
    let cols = cols as usize;
    let x = call.reads[0].plain();
    let [bounds, skip]: [&[u32]; 2] = [1, 2].map(|i| bytemuck::cast_slice(call.reads[i].plain()));
    let rows = call.writes[0].chunks_exact_mut(cols * count as usize);
    for (at, (y, range)) in rows.zip(bounds.windows(2)).enumerate() {
        let tokens = &x[range[0] as usize * cols..range[1] as usize * cols];
        let skipped = if skips { skip[at] as usize } else { 0 };
        for (p, y) in y.chunks_exact_mut(cols).enumerate() {
            reduce(y, tokens, skipped, modes >> (BITS * p as u32) & ((1 << BITS) - 1));
        }
    }
}

/// One pooling of a sequence's `tokens`, without the first `skipped`.
fn reduce(y: &mut [f32], tokens: &[f32], skipped: usize, mode: u32) {
    let cols = y.len();
    let rows = tokens.chunks_exact(cols);
    let mut counted = rows.clone().skip(skipped);
    if mode == Pooling::Cls.id() || mode == Pooling::LastToken.id() {
        let row = if mode == Pooling::Cls.id() { counted.next().or(rows.clone().next()) } else { counted.last() };
        match row {
            Some(row) => y.copy_from_slice(row),
            None => y.fill(0.0),
        }
        return;
    }
    y.fill(if mode == Pooling::Max.id() && rows.len() > skipped { f32::NEG_INFINITY } else { 0.0 });
    let mut total = 0.0;
    for (at, token) in rows.enumerate().skip(skipped) {
        let pairs = y.iter_mut().zip(token);
        if mode == Pooling::Max.id() {
            pairs.for_each(|(y, x)| *y = y.max(*x));
        } else if mode == Pooling::WeightedMean.id() {
            let weight = (at + 1) as f32;
            total += weight;
            pairs.for_each(|(y, x)| *y += weight * x);
        } else {
            total += 1.0;
            pairs.for_each(|(y, x)| *y += x);
        }
    }
    if mode != Pooling::Max.id() {
        let total = f32::max(total, 1e-9);
        let by = if mode == Pooling::MeanSqrtLen.id() { total.sqrt() } else { total };
        y.iter_mut().for_each(|y| *y /= by);
    }
}
