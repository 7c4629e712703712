//! Operations on single rows: LayerNorm.

use super::math::{for_isa, mul_add, sum_by};
use super::pace::Dispatch;
use super::pool::Parts;

/// The fewest elements of a task, which take a few microseconds.
const FEWEST: usize = 8192;

/// LayerNorm over the last axis: `y = (x - mean) / sqrt(variance + eps) * gamma + beta`. x and y are `[rows, cols]`,
/// gamma and beta `[cols]`.
///
/// A second pass computes the variance, as the mean of the squared deviations.
///
/// # Panics
/// If a slice's length contradicts the shapes.
pub fn layer_norm(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], eps: f32) {
    let cols = gamma.len();
    assert_eq!(beta.len(), cols, "beta is [cols]");
    assert_eq!(x.len(), y.len(), "x is as y");
    assert!(cols > 0 && y.len().is_multiple_of(cols), "y is [rows, cols]");
    let rows = y.len() / cols;
    let block = rows.div_ceil(4 * dispatch.threads()).max(FEWEST.div_ceil(cols));
    let parts = Parts::new(y);
    let isa = dispatch.isa();
    dispatch.run(rows.div_ceil(block), |task, _| {
        let first = task * block;
        let count = block.min(rows - first);
        // SAFETY: each task has its own rows.
        let y = unsafe { parts.get(first * cols, count * cols) };
        normalise(isa, y, &x[first * cols..][..count * cols], gamma, beta, eps);
    });
}

for_isa! {
    fn normalise(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], eps: f32) = normalise_body
}

#[inline(always)]
fn normalise_body<const FMA: bool>(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], eps: f32) {
    let cols = gamma.len();
    for (y, x) in y.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
        let mean = sum_by(x, |x, sum| sum + x) / cols as f32;
        let variance = sum_by(x, |x, sum| mul_add::<FMA>(x - mean, x - mean, sum)) / cols as f32;
        let inverse = 1.0 / (variance + eps).sqrt();
        for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
            *y = mul_add::<FMA>((x - mean) * inverse, *g, *b);
        }
    }
}
