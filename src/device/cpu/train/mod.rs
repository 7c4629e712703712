//! What only training computes: operands of gradients packed, attention with its gradient.

pub mod activation;
pub mod attention;
pub mod losses;
pub mod random;
pub mod rows;

use super::micro::PANEL;
use super::pace::Dispatch;
use super::parallel::for_blocks;

/// Rows and columns that are transposed at once: both sides stay in the first-level cache.
const TILE: usize = 16;

/// Packs a right side of `n` outputs and sums over `k` into panels, `[k, 16]` each, filled up with zeros: behind output n,
/// and behind `rows` of the sum. x is `[n, k]` if `transposed`, else `[rows, n]`.
pub fn pack(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], rows: usize, n: usize, k: usize, transposed: bool) {
    let len = k * PANEL;
    // Whole panels, enough of them to be worth a task.
    let block = (8192 / len.max(1)).max(1);
    for_blocks(dispatch, n.div_ceil(PANEL), block, [(y, len)], |range, [panels], _| {
        for (p, panel) in range.zip(panels.chunks_exact_mut(len.max(1))) {
            let (first, width) = (p * PANEL, PANEL.min(n - p * PANEL));
            if width < PANEL {
                panel.fill(0.0);
            }
            if transposed {
                transpose_tiles(panel, PANEL, &x[first * k..], k, width, k);
                continue;
            }
            let (full, rest) = panel.split_at_mut(rows * PANEL);
            for (line, row) in full.chunks_exact_mut(PANEL).zip(x.chunks_exact(n)) {
                line[..width].copy_from_slice(&row[first..first + width]);
            }
            rest.fill(0.0);
        }
    });
}

/// `y [cols, pitch] = xᵀ` of x `[rows, cols]`, with zeros from `rows` to `pitch`.
pub fn transpose(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], rows: usize, cols: usize, pitch: usize) {
    for_blocks(dispatch, cols, TILE, [(y, pitch)], |range, [y], _| {
        let width = range.len();
        transpose_tiles(y, pitch, &x[range.start.min(x.len())..], cols, rows, width);
        y.chunks_exact_mut(pitch.max(1)).for_each(|row| row[rows..].fill(0.0));
    });
}

/// `y[c, r] = x[r, c]` for r below `rows` and c below `cols`; a row of y is `ldy` apart, one of x `ldx`.
fn transpose_tiles(y: &mut [f32], ldy: usize, x: &[f32], ldx: usize, rows: usize, cols: usize) {
    for r0 in (0..rows).step_by(TILE) {
        let r1 = rows.min(r0 + TILE);
        for c0 in (0..cols).step_by(TILE) {
            for c in c0..cols.min(c0 + TILE) {
                let y = &mut y[c * ldy + r0..c * ldy + r1];
                for (y, row) in y.iter_mut().zip(x[r0 * ldx..].chunks(ldx)) {
                    *y = row[c];
                }
            }
        }
    }
}
