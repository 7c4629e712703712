//! CPU code that only training uses: packing and transposing, attention with its gradient, losses, dropout.

pub mod activation;
pub mod attention;
pub mod losses;
pub mod random;
pub mod rows;

use super::micro::PANEL;
use super::pace::Dispatch;
use super::parallel::for_blocks;

/// The rows and columns that are transposed at once: whole cache lines on both sides.
const TILE: usize = 16;
/// The columns of a transposing task. Each source row lies in other pages, so the task reads several cache lines of it.
const COLUMNS: usize = 4 * TILE;

/// Packs a right side of `n` outputs and sums over `k` into panels, `[k, 16]` each. x is `[n, k]` if `transposed`, else
/// `[rows, n]`. Zeros fill up the outputs from n on, and the sums from `rows` on.
pub fn pack(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], rows: usize, n: usize, k: usize, transposed: bool) {
    let len = k * PANEL;
    // Whole panels, and enough of them for a task.
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

/// `y [cols, pitch] = xᵀ`, where x is `[rows, cols]`. Columns of y from `rows` to `pitch` become zeros.
pub fn transpose(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], rows: usize, cols: usize, pitch: usize) {
    for_blocks(dispatch, cols, COLUMNS, [(y, pitch)], |range, [y], _| {
        let width = range.len();
        transpose_tiles(y, pitch, &x[range.start.min(x.len())..], cols, rows, width);
        y.chunks_exact_mut(pitch.max(1)).for_each(|row| row[rows..].fill(0.0));
    });
}

/// `y[c, r] = x[r, c]` for r below `rows` and c below `cols`. The rows of y are `ldy` apart, those of x `ldx`.
fn transpose_tiles(y: &mut [f32], ldy: usize, x: &[f32], ldx: usize, rows: usize, cols: usize) {
    for r0 in (0..rows).step_by(TILE) {
        let height = TILE.min(rows - r0);
        for c0 in (0..cols).step_by(TILE) {
            let width = TILE.min(cols - c0);
            let mut tile = [[0.0; TILE]; TILE];
            for (line, row) in tile.iter_mut().zip(x[r0 * ldx..].chunks(ldx)).take(height) {
                line[..width].copy_from_slice(&row[c0..c0 + width]);
            }
            for c in 0..width {
                let column: [f32; TILE] = std::array::from_fn(|r| tile[r][c]);
                y[(c0 + c) * ldy + r0..][..height].copy_from_slice(&column[..height]);
            }
        }
    }
}
