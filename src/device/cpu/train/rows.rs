//! Operations on single rows and sums over rows: LayerNorm's gradients, dropout.

use super::random::keeps;
use crate::device::cpu::math::{for_isa, mul_add, sum_by};
use crate::device::cpu::pace::Dispatch;
use crate::device::cpu::parallel::{for_blocks, for_rows};

/// The gradient of LayerNorm by its input. Also writes each row's mean and inverse deviation to `stats`.
pub fn layer_norm_backward(
    dispatch: &Dispatch<'_>,
    d_x: &mut [f32],
    stats: &mut [f32],
    x: &[f32],
    gamma: &[f32],
    d_y: &[f32],
    eps: f32,
) {
    let (isa, cols) = (dispatch.isa(), gamma.len());
    for_rows(dispatch, x.len() / cols, [(d_x, cols), (stats, 2)], |rows, [d_x, stats], _| {
        let range = rows.start * cols..rows.end * cols;
        norm_rows(isa, d_x, stats, &x[range.clone()], gamma, &d_y[range], eps);
    });
}

for_isa! {
    fn norm_rows(d_x: &mut [f32], stats: &mut [f32], x: &[f32], gamma: &[f32], d_y: &[f32], eps: f32) = norm_rows_body
}

#[inline(always)]
fn norm_rows_body<const FMA: bool>(
    d_x: &mut [f32],
    stats: &mut [f32],
    x: &[f32],
    gamma: &[f32],
    d_y: &[f32],
    eps: f32,
) {
    let cols = gamma.len();
    let n = cols as f32;
    let rows = d_x.chunks_exact_mut(cols).zip(x.chunks_exact(cols)).zip(d_y.chunks_exact(cols));
    for (((d_x, x), d_y), stats) in rows.zip(stats.chunks_exact_mut(2)) {
        let mean = sum_by(x, |x, sum| sum + x) / n;
        let variance = sum_by(x, |x, sum| mul_add::<FMA>(x - mean, x - mean, sum)) / n;
        let scale = 1.0 / (variance + eps).sqrt();
        for ((d, gamma), d_y) in d_x.iter_mut().zip(gamma).zip(d_y) {
            *d = gamma * d_y;
        }
        let g_mean = sum_by(d_x, |g, sum| sum + g) / n;
        // This sums the products without storing them.
        let gn_mean = sum_products::<FMA>(d_x, x, mean) * scale / n;
        for (d, x) in d_x.iter_mut().zip(x) {
            *d = scale * (*d - g_mean - (x - mean) * scale * gn_mean);
        }
        stats.copy_from_slice(&[mean, scale]);
    }
}

/// `Σ g (x - mean)` in lanes, in the order of [`sum_by`].
#[inline(always)]
fn sum_products<const FMA: bool>(g: &[f32], x: &[f32], mean: f32) -> f32 {
    use crate::device::cpu::math::{LANES, sum_lanes};
    let mut lanes = [0.0; LANES];
    for (g, x) in g.chunks(LANES).zip(x.chunks(LANES)) {
        for ((lane, g), x) in lanes.iter_mut().zip(g).zip(x) {
            *lane = mul_add::<FMA>(*g, x - mean, *lane);
        }
    }
    sum_lanes(lanes)
}

/// Partial sums of `d_y (x - mean) scale` and of `d_y`, each over every `parts`-th row.
pub fn layer_norm_partials(
    dispatch: &Dispatch<'_>,
    [d_gamma, d_beta]: [&mut [f32]; 2],
    x: &[f32],
    d_y: &[f32],
    stats: &[f32],
    cols: usize,
    parts: usize,
) {
    for_blocks(dispatch, parts, 1, [(d_gamma, cols), (d_beta, cols)], |part, [d_gamma, d_beta], _| {
        d_gamma.fill(0.0);
        d_beta.fill(0.0);
        let rows = x.chunks_exact(cols).zip(d_y.chunks_exact(cols)).zip(stats.chunks_exact(2));
        for ((x, d_y), stats) in rows.skip(part.start).step_by(parts) {
            let (mean, scale) = (stats[0], stats[1]);
            for (((gain, offset), x), d_y) in d_gamma.iter_mut().zip(&mut *d_beta).zip(x).zip(d_y) {
                *gain += d_y * (x - mean) * scale;
                *offset += d_y;
            }
        }
    });
}

/// `y = x scale` for the elements that their hash keeps, else 0; plus `residual` if there is one.
pub fn dropout(
    dispatch: &Dispatch<'_>,
    y: &mut [f32],
    x: &[f32],
    residual: Option<&[f32]>,
    cols: usize,
    (key, threshold, scale): (u32, u32, f32),
) {
    let isa = dispatch.isa();
    for_rows(dispatch, x.len() / cols, [(y, cols)], |rows, [y], _| {
        for (row, y) in rows.zip(y.chunks_exact_mut(cols)) {
            let range = row * cols..(row + 1) * cols;
            keeps(isa, y, key, row as u32, threshold, scale);
            y.iter_mut().zip(&x[range.clone()]).for_each(|(y, x)| *y *= x);
            if let Some(residual) = residual {
                y.iter_mut().zip(&residual[range]).for_each(|(y, r)| *y += r);
            }
        }
    });
}
