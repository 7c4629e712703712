//! `ctx = softmax(Q Kᵀ scale) V` for each sequence and head, with the GEMM's microkernel.
//!
//! A task is a block of queries of one head of one sequence. It packs the head's keys and values into panels. Then it
//! computes scores, softmax and context for a few queries at a time, so the scores stay in the caches. Every sum runs
//! over one sequence, in an order that only the length of the sequence determines.

use std::f32::consts::LOG2_E;

use super::math::{LANES, exp2, for_isa, mul_add, sum_lanes};
use super::micro::{self, Finish, Isa, PANEL, Strip};
use super::pace::Dispatch;
use super::pool::{Parts, Scratch};

/// The number of queries whose scores are held at once: whole tiles of every instruction set.
pub(super) const TILE: usize = 12;
/// The fewest queries of a task: packing a head's keys and values must stay cheap compared to using them.
const FEWEST: usize = 48;
/// The most scores of a task. It matters for sequences longer than those of any trained BERT, because a task cannot be
/// interrupted.
const MOST_SCORES: usize = 1 << 20;

/// Computes attention over a packed batch.
///
/// * `ctx`: `[T, H]`, written.
/// * `qkv`: `[T, 3H]`, with the query, key and value of a token side by side; H is `heads * size`.
/// * `offsets`: `[B + 1]`, ascending from 0 to T; sequence b has the tokens `offsets[b]..offsets[b + 1]`.
/// * `scale`: the factor of the scores; positive.
///
/// Each thread's scratch memory holds one head's keys and values and 12 rows of scores.
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
    // Enough tasks for an even load on the threads, although a head may be packed more than once.
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
    /// Computes queries `first..first + count` of one head of the sequence of `len` tokens that begins at `start`.
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
            // SAFETY: the rows of A are queries inside qkv, whose length `attention` asserts. The rest is scratch
            // memory of the stated extents. The pool guarantees the instruction set.
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

/// Packs keys `[len, size]` into panels of 16 keys, `[size, 16]` each. Zeros fill the last panel.
pub(super) fn pack_keys<'a>(panels: &mut [f32], len: usize, size: usize, key: impl Fn(usize) -> &'a [f32]) {
    for (p, panel) in panels.chunks_exact_mut(size * PANEL).enumerate().take(len.div_ceil(PANEL)) {
        let keys = PANEL.min(len - p * PANEL);
        if keys < PANEL {
            panel.fill(0.0);
        }
        // Four keys at a time: four stores in a row go to one cache line.
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

/// Packs values `[len, size]` into panels of 16 columns, `[len, 16]` each. Zeros fill the last panel.
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
    /// Replaces the first `len` scores s of each row by `exp(scale (s - max))`, and writes the sums to `sums`.
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
        // Computes exp(scale (x - max)) as a power of two. The largest result is 1. Results below 2⁻¹²⁵, such as those
        // of the padding, do not change the sum.
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
