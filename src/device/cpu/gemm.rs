//! `Y = act(X Wᵀ + bias) + residual`, with W in [`Panels`](super::Panels).
//!
//! A task is a block of rows times a group of panels. The rows stay in the second-level cache while the panels pass. K
//! is cut into blocks, so that a panel's part stays in the first-level cache. The cuts along K depend on K alone. The
//! cuts along M and N do not change any bit.

use half::f16;

use super::math::{activate, for_isa};
use super::micro::{self, Finish, Isa, PANEL, Strip};
use super::pace::Dispatch;
use super::pack::{PanelsView, ValuesView};
use super::pool::{Line, Parts};
use crate::activation::Activation;

/// The longest chain of additions along K: 32 KiB of a panel. Shorter chains also have smaller rounding errors.
const K_BLOCK: usize = 512;
/// The most rows of a task: their part along K (at most 256 KiB) stays in the second-level cache.
const ROW_BLOCK: usize = 132;
/// The most panels of a task.
const GROUP: usize = 8;

/// Computes `y[M, N] = act(x[M, K] Wᵀ + bias) + residual`; bias is `[N]`, residual `[M, N]`.
///
/// A row of y has the same bits for any M, in any place, and for any number of threads.
///
/// # Panics
/// If a slice's length contradicts the shapes.
#[expect(clippy::too_many_arguments, reason = "a fused kernel's operands; a struct would only rename them")]
pub fn gemm(
    dispatch: &Dispatch<'_>,
    y: &mut [f32],
    x: &[f32],
    m: usize,
    w: PanelsView<'_>,
    bias: Option<&[f32]>,
    act: Activation,
    residual: Option<&[f32]>,
) {
    let n = w.n();
    assert!(bias.is_none_or(|b| b.len() == n), "bias is [N]");
    assert!(residual.is_none_or(|r| r.len() == m * n), "residual is [M, N]");
    run(dispatch, y, |isa, y| Gemm { isa, y, x, m, w, bias, act, residual, add: false });
}

/// Computes `y = x Wᵀ`, or `y += x Wᵀ` if `add`: a gradient. Shapes as for [`gemm`].
///
/// # Panics
/// If a slice's length contradicts the shapes.
#[cfg(feature = "train")]
pub fn product(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], m: usize, w: PanelsView<'_>, add: bool) {
    let (bias, residual, act) = (None, None, Activation::Linear);
    run(dispatch, y, |isa, y| Gemm { isa, y, x, m, w, bias, act, residual, add });
}

fn run<'a>(dispatch: &Dispatch<'_>, y: &'a mut [f32], job: impl FnOnce(Isa, Parts<'a>) -> Gemm<'a>) {
    let len = y.len();
    let job = job(dispatch.isa(), Parts::new(y));
    let (m, n, k) = (job.m, job.w.n(), job.w.k());
    assert_eq!(job.x.len(), m * k, "x is [M, K]");
    assert_eq!(len, m * n, "y is [M, N]");
    if m == 0 || n == 0 {
        return;
    }
    let panels = n.div_ceil(PANEL);
    let cut = Cut::new(m, panels, dispatch.threads());
    dispatch.run(cut.row_blocks * cut.groups, |task, scratch| {
        let row = task / cut.groups * cut.rows;
        let panel = task % cut.groups * cut.group;
        let is_f32 = matches!(job.w.values(), ValuesView::F32(_));
        let [expanded] = scratch.buffers([if is_f32 { 0 } else { 2 * K_BLOCK * PANEL }]);
        job.block(row, cut.rows.min(m - row), panel, cut.group.min(panels - panel), expanded);
    });
}

/// The way in which the work is cut into tasks.
struct Cut {
    rows: usize,
    row_blocks: usize,
    group: usize,
    groups: usize,
}

impl Cut {
    fn new(m: usize, panels: usize, threads: usize) -> Self {
        // Eight tasks for each thread make the load even. One thread needs only the cuts for the caches.
        let tasks = if threads == 1 { 1 } else { 8 * threads };
        let mut blocks = m.div_ceil(ROW_BLOCK);
        if panels * blocks < tasks {
            // Few panels for many threads: cut the rows too, but not below two tiles.
            blocks = tasks.div_ceil(panels).min(m.div_ceil(24)).max(blocks);
        }
        // Whole tiles of every instruction set, unless there are few rows.
        let rows = if blocks == 1 { m } else { m.div_ceil(blocks).next_multiple_of(12) };
        let row_blocks = m.div_ceil(rows);
        let group = (panels * row_blocks / tasks).clamp(1, GROUP);
        // The AVX-512 kernel takes two panels at a time.
        let group = if group > 1 { group & !1 } else { 1 };
        Cut { rows, row_blocks, group, groups: panels.div_ceil(group) }
    }
}

struct Gemm<'a> {
    isa: Isa,
    y: Parts<'a>,
    x: &'a [f32],
    m: usize,
    w: PanelsView<'a>,
    bias: Option<&'a [f32]>,
    act: Activation,
    residual: Option<&'a [f32]>,
    /// Whether to add to what y holds.
    add: bool,
}

impl Gemm<'_> {
    /// Runs one task: `rows` rows from `row`, `count` panels from `panel`.
    fn block(&self, row: usize, rows: usize, panel: usize, count: usize, expanded: &mut [f32]) {
        let (n, k) = (self.w.n(), self.w.k());
        debug_assert!(row + rows <= self.m);
        let mut bias = [Line::default(); GROUP];
        let first = panel * PANEL;
        let cols = (count * PANEL).min(n - first);
        if let Some(source) = self.bias {
            bytemuck::cast_slice_mut::<Line, f32>(&mut bias)[..cols].copy_from_slice(&source[first..first + cols]);
        }
        let fused = self.act == Activation::Linear;
        let blocks = k.div_ceil(K_BLOCK).max(1);
        let depth = k.div_ceil(blocks).next_multiple_of(8);
        for step in 0..blocks {
            let k0 = (step * depth).min(k);
            let depth = depth.min(k - k0);
            for p in (0..count).step_by(2) {
                let col = first + p * PANEL;
                let (b, ldb) = self.panels(panel + p, 2.min(count - p), k0, depth, expanded);
                let mut finish = Finish::NONE;
                if step + 1 == blocks {
                    if let ValuesView::I8 { scales, .. } = self.w.values() {
                        finish.scale = scales[panel + p].0.as_ptr();
                    }
                    if self.bias.is_some() {
                        finish.bias = bias[p].0.as_ptr();
                    }
                    if let (true, Some(r)) = (fused, self.residual) {
                        finish.residual = r[row * n + col..].as_ptr();
                    }
                }
                let strip = Strip {
                    a: self.x[row * k + k0..].as_ptr(),
                    lda: k,
                    rows,
                    b,
                    ldb,
                    k: depth,
                    c: self.y.pointer(row * n + col),
                    ldc: n,
                    cols: (2.min(count - p) * PANEL).min(n - col),
                    add: step > 0 || cfg!(feature = "train") && self.add,
                    finish,
                };
                // SAFETY: extents follow from the lengths that `gemm` asserts. Scales and bias are padded to panels.
                // Each task writes its own rows and columns of y. The pool guarantees the instruction set.
                unsafe { micro::run(self.isa, &strip) }
            }
        }
        if !fused {
            for r in row..row + rows {
                let at = r * n + first;
                // SAFETY: this is the task's own part of row r, and the kernel above has finished with it.
                let y = unsafe { self.y.get(at, cols) };
                activate(self.isa, self.act, y);
                if let Some(residual) = self.residual {
                    y.iter_mut().zip(&residual[at..at + cols]).for_each(|(y, r)| *y += r);
                }
            }
        }
    }

    /// Gives steps `k0..k0 + depth` of `count` panels as f32: their address and the distance between panels.
    fn panels(&self, panel: usize, count: usize, k0: usize, depth: usize, expanded: &mut [f32]) -> (*const f32, usize) {
        let k = self.w.k();
        let len = depth * PANEL;
        let blocks = expanded.chunks_exact_mut(len.max(1)).take(count).zip(panel..);
        match self.w.values() {
            ValuesView::F32(values) => return (values[(panel * k + k0) * PANEL..].as_ptr(), k * PANEL),
            ValuesView::F16(values) => blocks.for_each(|(to, panel)| {
                expand_f16(self.isa, values[panel * k + k0..][..depth].as_flattened(), to);
            }),
            ValuesView::I8 { values, .. } => blocks.for_each(|(to, panel)| {
                expand_i8(self.isa, values[panel * k + k0..][..depth].as_flattened(), to);
            }),
        }
        (expanded.as_ptr(), len)
    }
}

for_isa! {
    fn expand_i8(source: &[i8], out: &mut [f32]) = expand_i8_body
}

#[inline(always)]
fn expand_i8_body<const FMA: bool>(source: &[i8], out: &mut [f32]) {
    for (o, q) in out.iter_mut().zip(source) {
        *o = f32::from(*q);
    }
}

for_isa! {
    fn expand_f16(source: &[f16], out: &mut [f32]) = expand_f16_body
}

/// Exact for every finite value. The exponent and the fraction move to their places in an f32, and a product with 2^112
/// corrects the exponent, also for subnormal numbers. Compilers vectorize this, but would call `f16::to_f32` for each
/// element.
#[inline(always)]
fn expand_f16_body<const FMA: bool>(source: &[f16], out: &mut [f32]) {
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    for (o, h) in out.iter_mut().zip(source) {
        let bits = u32::from(h.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * SCALE;
        *o = f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16);
    }
}
