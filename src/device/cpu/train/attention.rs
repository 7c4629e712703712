//! Attention with dropout, and its gradient, with the GEMM's microkernel.
//!
//! A task is one head of one sequence, so every sum runs over one sequence, in an order that only its length
//! determines. Scores are held for a few rows at a time. The gradient takes two passes: rows are queries for dQ, and
//! keys for dK and dV. Both compute the probabilities again, which is cheaper than to transpose a matrix of them.

use std::f32::consts::LOG2_E;

use super::random::{keeps, keeps_down};
use crate::device::cpu::attention::{TILE, pack_keys, pack_values};
use crate::device::cpu::math::{LANES, exp2, for_isa, mul_add, sum_by};
use crate::device::cpu::micro::{self, Finish, Isa, PANEL, Strip};
use crate::device::cpu::pace::Dispatch;
use crate::device::cpu::pool::Parts;

/// The sizes, and the choice of dropout. The row of a probability is `query heads + head`, its column is the key within
/// the sequence.
#[derive(Clone, Copy)]
pub struct Shape {
    /// N.
    pub heads: usize,
    /// D.
    pub size: usize,
    /// The factor of the scores, `1 / sqrt(D)`.
    pub scale: f32,
    /// The key of the dropout's place in this step.
    pub key: u32,
    /// A probability is dropped if its hash is below this.
    pub threshold: u32,
    /// The factor of the probabilities that are kept, `1 / (1 - p)`.
    pub keep_scale: f32,
}

/// The operands of the gradient.
pub struct Saved<'a> {
    /// q, k and v side by side, `[T, 3H]`.
    pub qkv: &'a [f32],
    /// The gradient of the result, `[T, H]`.
    pub d_ctx: &'a [f32],
    /// The logarithm of each query's sum of exponentials, `[T, N]`.
    pub lse: &'a [f32],
    /// `Σ d_ctx ctx` over each head's columns, `[T, N]`.
    pub delta: &'a [f32],
}

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Head {
    start: usize,
    len: usize,
    head: usize,
}

impl Head {
    fn of(task: usize, bounds: &[u32], heads: usize) -> Self {
        let sequence = task / heads;
        let (start, end) = (bounds[sequence] as usize, bounds[sequence + 1] as usize);
        Self { start, len: end - start, head: task % heads }
    }
}

/// `c [rows, cols] = a b`, with b in panels that are `ldb` floats apart.
#[derive(Clone, Copy)]
struct Product<'a> {
    a: &'a [f32],
    lda: usize,
    rows: usize,
    b: &'a [f32],
    ldb: usize,
    k: usize,
}

impl Product<'_> {
    /// Writes the product into `c`, whose rows are `ldc` floats apart.
    ///
    /// # Safety
    /// `rows` rows of `cols` floats are writable at `c`, and nobody else uses them meanwhile.
    unsafe fn into(self, isa: Isa, c: *mut f32, ldc: usize, cols: usize) {
        assert!(self.a.len() >= (self.rows - 1) * self.lda + self.k, "rows of a");
        assert!(self.b.len() >= (cols.div_ceil(PANEL) - 1) * self.ldb + self.k * PANEL, "panels of b");
        let Self { lda, rows, ldb, k, .. } = self;
        let strip = Strip {
            a: self.a.as_ptr(),
            lda,
            rows,
            b: self.b.as_ptr(),
            ldb,
            k,
            c,
            ldc,
            cols,
            add: false,
            finish: Finish::NONE,
        };
        // SAFETY: the extents of a and b are asserted, and those of c are the caller's contract. A pool only uses an
        // instruction set that the machine has.
        unsafe { micro::run(isa, &strip) }
    }
}

/// Computes `ctx [T, H]` and `lse [T, N]` from `qkv [T, 3H]` and `bounds [B + 1]`.
pub fn forward(dispatch: &Dispatch<'_>, ctx: &mut [f32], lse: &mut [f32], qkv: &[f32], bounds: &[u32], shape: Shape) {
    let Shape { heads, size, .. } = shape;
    let (isa, hidden) = (dispatch.isa(), heads * size);
    let width = 3 * hidden;
    let (ctx, lse) = (Parts::new(ctx), Parts::new(lse));
    dispatch.run((bounds.len() - 1) * heads, |task, scratch| {
        let Head { start, len, head } = Head::of(task, bounds, heads);
        let part = |token: usize, which: usize| &qkv[(start + token) * width + which * hidden + head * size..][..size];
        let padded = len.next_multiple_of(PANEL);
        let value_panels = size.div_ceil(PANEL);
        let [keys, values, scores, kept] =
            scratch.buffers([padded * size, value_panels * len * PANEL, TILE * padded, padded]);
        pack_keys(keys, len, size, |t| part(t, 1));
        pack_values(values, len, |t| part(t, 2));
        for tile in (0..len).step_by(TILE) {
            let rows = TILE.min(len - tile);
            let a = &qkv[(start + tile) * width + head * size..];
            let score = Product { a, lda: width, rows, b: keys, ldb: size * PANEL, k: size };
            // SAFETY: scratch memory of this task.
            unsafe { score.into(isa, scores.as_mut_ptr(), padded, padded) }
            for (row, scores) in scores.chunks_exact_mut(padded).take(rows).enumerate() {
                let at = (start + tile + row) * heads + head;
                // SAFETY: this head's element of this query's row.
                let lse = unsafe { lse.get(at, 1) };
                softmax(isa, &mut scores[..len], shape.scale, lse);
                if shape.threshold > 0 {
                    keeps(isa, &mut kept[..len], shape.key, at as u32, shape.threshold, shape.keep_scale);
                    scores.iter_mut().zip(&*kept).for_each(|(s, k)| *s *= k);
                }
            }
            let context = Product { a: scores, lda: padded, rows, b: values, ldb: len * PANEL, k: len };
            // SAFETY: this head's columns of this tile's rows. `pointer` checks the beginning, and the shapes bound the
            // rest.
            unsafe { context.into(isa, ctx.pointer((start + tile) * hidden + head * size), hidden, size) }
        }
    });
}

/// Computes `d_qkv [T, 3H]` from the saved tensors and `bounds [B + 1]`.
pub fn backward(dispatch: &Dispatch<'_>, d_qkv: &mut [f32], saved: &Saved<'_>, bounds: &[u32], shape: Shape) {
    let Shape { heads, size, .. } = shape;
    let (isa, hidden) = (dispatch.isa(), heads * size);
    let width = 3 * hidden;
    let d_qkv = Parts::new(d_qkv);
    let Saved { qkv, d_ctx, lse, delta } = *saved;
    dispatch.run((bounds.len() - 1) * heads, |task, scratch| {
        let of = Head::of(task, bounds, heads);
        let Head { start, len, head } = of;
        let column = head * size;
        let part = |token: usize, which: usize| &qkv[(start + token) * width + which * hidden + column..][..size];
        let d_out = |token: usize| &d_ctx[(start + token) * hidden + column..][..size];
        let padded = len.next_multiple_of(PANEL);
        let (by_key, by_value) = (padded * size, size.div_ceil(PANEL) * len * PANEL);
        let [first, second, third, fourth, scores, products, kept, of_queries] =
            scratch.buffers([by_key, by_key, by_value, by_value, TILE * padded, TILE * padded, padded, 2 * padded]);
        let into = |t: usize, which: usize| d_qkv.pointer((start + t) * width + which * hidden + column);
        let terms = |t: usize| (lse[(start + t) * heads + head], delta[(start + t) * heads + head]);

        // Without dropout, this does not change again.
        kept.fill(1.0);
        // Rows are queries: S = Q Kᵀ, d_ctx Vᵀ, dQ = dS K.
        pack_keys(first, len, size, |t| part(t, 1));
        pack_keys(second, len, size, |t| part(t, 2));
        pack_values(third, len, |t| part(t, 1));
        for tile in (0..len).step_by(TILE) {
            let rows = TILE.min(len - tile);
            let panels = |a, lda, b| Product { a, lda, rows, b, ldb: size * PANEL, k: size };
            let queries = panels(&qkv[(start + tile) * width + column..], width, first);
            let outs = panels(&d_ctx[(start + tile) * hidden + column..], hidden, second);
            // SAFETY: scratch memory of this task.
            unsafe {
                queries.into(isa, scores.as_mut_ptr(), padded, padded);
                outs.into(isa, products.as_mut_ptr(), padded, padded);
            }
            let both = scores.chunks_exact_mut(padded).zip(products.chunks_exact(padded)).take(rows);
            for (row, (scores, products)) in both.enumerate() {
                let at = ((start + tile + row) * heads + head) as u32;
                if shape.threshold > 0 {
                    keeps(isa, &mut kept[..len], shape.key, at, shape.threshold, shape.keep_scale);
                }
                let (lse, delta) = terms(tile + row);
                row_gradient(isa, &mut scores[..len], products, kept, (lse, delta), shape.scale);
            }
            let d_q = Product { a: scores, lda: padded, rows, b: third, ldb: len * PANEL, k: len };
            // SAFETY: this head's columns of this tile's queries.
            unsafe { d_q.into(isa, into(tile, 0), width, size) }
        }

        // Rows are keys: Sᵀ = K Qᵀ, V d_ctxᵀ, dK = dSᵀ Q, dV = (M P)ᵀ d_ctx.
        pack_keys(first, len, size, |t| part(t, 0));
        pack_keys(second, len, size, d_out);
        pack_values(third, len, |t| part(t, 0));
        pack_values(fourth, len, d_out);
        let (lses, deltas) = of_queries.split_at_mut(padded);
        for (t, (lse, delta)) in lses.iter_mut().zip(&mut *deltas).enumerate().take(len) {
            (*lse, *delta) = terms(t);
        }
        for tile in (0..len).step_by(TILE) {
            let rows = TILE.min(len - tile);
            let panels = |which: usize, b| {
                let a = &qkv[(start + tile) * width + which * hidden + column..];
                Product { a, lda: width, rows, b, ldb: size * PANEL, k: size }
            };
            // SAFETY: scratch memory of this task.
            unsafe {
                panels(1, first).into(isa, scores.as_mut_ptr(), padded, padded);
                panels(2, second).into(isa, products.as_mut_ptr(), padded, padded);
            }
            let both = scores.chunks_exact_mut(padded).zip(products.chunks_exact_mut(padded)).take(rows);
            for (row, (scores, products)) in both.enumerate() {
                let top = (start * heads + head) as u32;
                let (kept, column) = (&mut kept[..len], (tile + row) as u32);
                if shape.threshold > 0 {
                    let keep = (shape.threshold, shape.keep_scale);
                    keeps_down(isa, kept, shape.key, (top, heads as u32), column, keep);
                }
                column_gradient(isa, scores, products, kept, lses, deltas, shape.scale);
            }
            let from = |a, b| Product { a, lda: padded, rows, b, ldb: len * PANEL, k: len };
            // SAFETY: this head's columns of this tile's keys and values.
            unsafe {
                from(&*scores, &*third).into(isa, into(tile, 1), width, size);
                from(&*products, &*fourth).into(isa, into(tile, 2), width, size);
            }
        }
    });
}

for_isa! {
    /// Replaces scores s by the probabilities of `scale s`, and writes the logarithm of the sum of exponentials to
    /// `lse`.
    fn softmax(s: &mut [f32], scale: f32, lse: &mut [f32]) = softmax_body
}

#[inline(always)]
fn softmax_body<const FMA: bool>(s: &mut [f32], scale: f32, lse: &mut [f32]) {
    let mut lanes = [f32::MIN; LANES];
    for chunk in s.chunks(LANES) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let largest = lanes.iter().fold(f32::MIN, |m, x| if *x > m { *x } else { m });
    let (slope, shift) = (scale * LOG2_E, -largest * (scale * LOG2_E));
    for x in s.iter_mut() {
        *x = power::<FMA>(*x, slope, shift);
    }
    let sum = sum_by(s, |x, sum| sum + x);
    s.iter_mut().for_each(|x| *x *= 1.0 / sum);
    lse.fill(largest * scale + sum.ln());
}

/// `2^(slope x + shift)`, and at least 2⁻¹²⁵.
#[inline(always)]
fn power<const FMA: bool>(x: f32, slope: f32, shift: f32) -> f32 {
    let t = mul_add::<FMA>(x, slope, shift);
    exp2::<FMA>(if t < -125.0 { -125.0 } else { t })
}

for_isa! {
    /// Replaces a query's scores by dS: `p (m d - delta) scale`.
    fn row_gradient(s: &mut [f32], d: &[f32], kept: &[f32], terms: (f32, f32), scale: f32) = row_gradient_body
}

#[inline(always)]
fn row_gradient_body<const FMA: bool>(s: &mut [f32], d: &[f32], kept: &[f32], terms: (f32, f32), scale: f32) {
    let (lse, delta) = terms;
    for ((s, d), kept) in s.iter_mut().zip(d).zip(kept) {
        let p = power::<FMA>(*s, scale * LOG2_E, -lse * LOG2_E);
        *s = p * (d * kept - delta) * scale;
    }
}

for_isa! {
    /// Replaces a key's scores by dSᵀ, and the products d by m p.
    fn column_gradient(s: &mut [f32], d: &mut [f32], kept: &[f32], lse: &[f32], delta: &[f32], scale: f32) =
        column_gradient_body
}

#[inline(always)]
fn column_gradient_body<const FMA: bool>(
    s: &mut [f32],
    d: &mut [f32],
    kept: &[f32],
    lse: &[f32],
    delta: &[f32],
    scale: f32,
) {
    for ((((s, d), kept), lse), delta) in s.iter_mut().zip(d).zip(kept).zip(lse).zip(delta) {
        let p = power::<FMA>(*s, scale * LOG2_E, -lse * LOG2_E);
        *s = p * (*d * kept - delta) * scale;
        *d = p * kept;
    }
}
