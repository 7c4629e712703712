//! ctx = softmax(Q Kᵀ scale) V, per sequence and head, with the GEMM's microkernel.
//!
//! A task is a block of queries of one head of one sequence. It packs the head's keys and values into panels, then takes
//! a few queries at a time through scores, softmax and context, so that scores never leave the caches. Every sum runs
//! over one sequence alone, in an order that its length determines.

use std::f32::consts::LOG2_E;

use super::math::{LANES, exp2, for_isa, mul_add, sum_lanes};
use super::micro::{self, Finish, Isa, PANEL, Strip};
use super::pace::Dispatch;
use super::pool::{Parts, Scratch};

/// Queries whose scores are held at once: whole tiles of every instruction set.
pub(super) const TILE: usize = 12;
/// Queries of a task at least: packing a head's keys and values must stay cheap beside using them.
const FEWEST: usize = 48;
/// Scores of a task at most, in sequences longer than any BERT has been trained on: a task cannot be interrupted.
const MOST_SCORES: usize = 1 << 20;

/// Computes attention over a packed batch.
///
/// * `ctx`: `[T, H]`, written.
/// * `qkv`: `[T, 3H]`, a token's query, key and value side by side; H is `heads * size`.
/// * `offsets`: `[B + 1]`, ascending from 0 to T; sequence b is the tokens `offsets[b]..offsets[b + 1]`.
/// * `scale`: multiplies scores; positive.
///
/// A thread's scratch is one head's keys and values and 12 rows of scores.
///
/// # Panics
/// If a slice's length contradicts the shapes, or the offsets do not ascend.
pub fn attention(
    dispatch: &Dispatch<'_>,
    ctx: &mut [f32],
    qkv: &[f32],
    offsets: &[u32],
    heads: usize,
    size: usize,
    scale: f32,
) {
    let hidden = heads * size;
    let tokens = offsets.last().map_or(0, |t| *t as usize);
    assert_eq!(qkv.len(), tokens * 3 * hidden, "qkv is [T, 3H]");
    assert_eq!(ctx.len(), tokens * hidden, "ctx is [T, H]");
    assert!(offsets.is_sorted(), "offsets ascend");
    if tokens == 0 || hidden == 0 {
        return;
    }
    // Enough tasks to even out the threads, at the price of packing a head more than once.
    let parts = (4 * dispatch.threads()).div_ceil((offsets.len() - 1) * heads);
    let parts = |len: usize| parts.min(len.div_ceil(FEWEST)).max(len.saturating_mul(len) / MOST_SCORES).max(1);
    let queries = |len: usize| len.div_ceil(parts(len)).max(1).next_multiple_of(TILE);
    let sequences = || offsets.windows(2).map(|w| (w[0] as usize, (w[1] - w[0]) as usize));
    let tasks: usize = sequences().map(|(_, len)| len.div_ceil(queries(len)) * heads).sum();
    let job = Attention { isa: dispatch.isa(), ctx: Parts::new(ctx), qkv, hidden, size, scale };
    dispatch.run(tasks, |mut task, scratch| {
        for (start, len) in sequences() {
            let blocks = len.div_ceil(queries(len));
            if task < blocks * heads {
                let first = task % blocks * queries(len);
                return job.block(start, len, task / blocks, first, queries(len).min(len - first), scratch);
            }
            task -= blocks * heads;
        }
    });
}

struct Attention<'a> {
    isa: Isa,
    ctx: Parts<'a>,
    qkv: &'a [f32],
    hidden: usize,
    size: usize,
    scale: f32,
}

impl Attention<'_> {
    /// Queries `first..first + count` of one head of the sequence of `len` tokens from `start`.
    fn block(&self, start: usize, len: usize, head: usize, first: usize, count: usize, scratch: &mut Scratch) {
        let (hidden, size, isa) = (self.hidden, self.size, self.isa);
        let width = 3 * hidden;
        let padded = len.next_multiple_of(PANEL);
        let column = head * size;
        let part = |token: usize, which: usize| &self.qkv[(start + token) * width + which * hidden + column..][..size];

        let value_panels = size.div_ceil(PANEL);
        let [keys, values, scores, sums] =
            scratch.buffers([padded * size, value_panels * len * PANEL, TILE * padded, TILE]);
        pack_keys(keys, len, size, |t| part(t, 1));
        pack_values(values, len, |t| part(t, 2));

        for tile in (first..first + count).step_by(TILE) {
            let rows = TILE.min(first + count - tile);
            let score = Strip {
                a: part(tile, 0).as_ptr(),
                lda: width,
                rows,
                b: keys.as_ptr(),
                ldb: size * PANEL,
                k: size,
                c: scores.as_mut_ptr(),
                ldc: padded,
                cols: padded,
                add: false,
                finish: Finish::NONE,
            };
            // SAFETY: the rows of A are queries inside qkv, whose length `attention` asserts; the rest is scratch of
            // the stated extents; the pool vouches for the instruction set.
            unsafe { micro::run(isa, &score) }
            softmax(isa, &mut scores[..rows * padded], len, padded, self.scale, sums);
            let context = Strip {
                a: scores.as_ptr(),
                lda: padded,
                rows,
                b: values.as_ptr(),
                ldb: len * PANEL,
                k: len,
                c: self.ctx.pointer((start + tile) * hidden + column),
                ldc: hidden,
                cols: size,
                add: false,
                finish: Finish::NONE,
            };
            // SAFETY: as above, and C is this task's own rows and columns of ctx.
            unsafe { micro::run(isa, &context) }
            for (row, sum) in sums.iter().enumerate().take(rows) {
                // SAFETY: one row of the same part of ctx, and the kernel is done with it.
                let ctx = unsafe { self.ctx.get((start + tile + row) * hidden + column, size) };
                ctx.iter_mut().for_each(|c| *c *= 1.0 / sum);
            }
        }
    }
}

/// Keys `[len, size]` into panels of 16 keys, `[size, 16]` each, the last one padded with zeros.
pub(super) fn pack_keys<'a>(panels: &mut [f32], len: usize, size: usize, key: impl Fn(usize) -> &'a [f32]) {
    for (p, panel) in panels.chunks_exact_mut(size * PANEL).enumerate().take(len.div_ceil(PANEL)) {
        let keys = PANEL.min(len - p * PANEL);
        if keys < PANEL {
            panel.fill(0.0);
        }
        // Four keys at a time: four stores to a line in a row.
        for j in (0..keys).step_by(4) {
            let at = p * PANEL + j;
            if keys - j >= 4 {
                let keys = [key(at), key(at + 1), key(at + 2), key(at + 3)];
                for (i, line) in panel.chunks_exact_mut(PANEL).enumerate() {
                    line[j..j + 4].copy_from_slice(&keys.map(|key| key[i]));
                }
            } else {
                for j in j..keys {
                    for (line, x) in panel.chunks_exact_mut(PANEL).zip(key(p * PANEL + j)) {
                        line[j] = *x;
                    }
                }
            }
        }
    }
}

/// Values `[len, size]` into panels of 16 columns, `[len, 16]` each, the last one padded with zeros.
pub(super) fn pack_values<'a>(panels: &mut [f32], len: usize, value: impl Fn(usize) -> &'a [f32]) {
    for t in 0..len {
        for (p, source) in value(t).chunks(PANEL).enumerate() {
            let line = &mut panels[(p * len + t) * PANEL..][..PANEL];
            match source.first_chunk::<PANEL>() {
                Some(whole) => line.copy_from_slice(whole),
                None => {
                    line.fill(0.0);
                    line[..source.len()].copy_from_slice(source);
                }
            }
        }
    }
}

for_isa! {
    /// Replaces each row's first `len` scores s by `exp(scale (s - max))`; `sums` receives the sums.
    fn softmax(scores: &mut [f32], len: usize, padded: usize, scale: f32, sums: &mut [f32]) = softmax_body
}

#[inline(always)]
fn softmax_body<const FMA: bool>(scores: &mut [f32], len: usize, padded: usize, scale: f32, sums: &mut [f32]) {
    for (row, sum) in scores.chunks_exact_mut(padded).zip(sums) {
        row[len..].fill(f32::MIN);
        let mut lanes = [f32::MIN; LANES];
        for chunk in row.chunks_exact(LANES) {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = if *x > *lane { *x } else { *lane };
            }
        }
        let max = lanes.iter().fold(f32::MIN, |m, x| if *x > m { *x } else { m });
        // exp(scale (x - max)) as a power of two. The largest is 1; what is below 2⁻¹²⁵, the padding too, adds no bit to
        // the sum.
        let (slope, shift) = (scale * LOG2_E, -max * (scale * LOG2_E));
        let mut lanes = [0.0; LANES];
        for chunk in row.chunks_exact_mut(LANES) {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                let t = mul_add::<FMA>(*x, slope, shift);
                *x = exp2::<FMA>(if t < -125.0 { -125.0 } else { t });
                *lane += *x;
            }
        }
        *sum = sum_lanes(lanes);
    }
}
