//! Losses and their gradients.

use crate::device::cpu::math::{exp, for_isa, sum_by};
use crate::device::cpu::pace::Dispatch;
use crate::device::cpu::parallel::for_rows;

/// The softmax cross-entropy of each row; see [`crate::ops::cross_entropy`].
pub fn cross_entropy(
    dispatch: &Dispatch<'_>,
    d_logits: &mut [f32],
    loss: &mut [f32],
    logits: &[f32],
    labels: &[u32],
    weights: &[f32],
    cols: usize,
) {
    let isa = dispatch.isa();
    for_rows(dispatch, labels.len(), [(d_logits, cols), (loss, 1)], |rows, [d, loss], _| {
        for ((row, d), loss) in rows.zip(d.chunks_exact_mut(cols)).zip(loss) {
            let x = &logits[row * cols..][..cols];
            let label = labels[row] as usize;
            let weight = if label < cols { weights[row] } else { 0.0 };
            let mut sum = [0.0; 2];
            softmax(isa, d, x, &mut sum, weight);
            let [sum, largest] = sum;
            if let Some(d) = d.get_mut(label) {
                *d -= weight;
            }
            *loss = weight * (sum.ln() + largest - x[label.min(cols - 1)]);
        }
    });
}

for_isa! {
    /// `p = weight softmax(x)`. Also writes the sum of the exponentials and the largest x to `sums`.
    fn softmax(p: &mut [f32], x: &[f32], sums: &mut [f32; 2], weight: f32) = softmax_body
}

#[inline(always)]
fn softmax_body<const FMA: bool>(p: &mut [f32], x: &[f32], sums: &mut [f32; 2], weight: f32) {
    let largest = x.iter().fold(f32::MIN, |m, x| if *x > m { *x } else { m });
    for (p, x) in p.iter_mut().zip(x) {
        *p = exp::<FMA>(x - largest);
    }
    let sum = sum_by(p, |p, sum| sum + p);
    p.iter_mut().for_each(|p| *p *= weight / sum);
    *sums = [sum, largest];
}

/// The cross-entropy of a span's start and end in each sequence; see [`crate::ops::span_loss`].
pub fn span(d_logits: &mut [f32], loss: &mut [f32], logits: &[f32], bounds: &[u32], labels: &[u32], weights: &[f32]) {
    for (i, loss) in loss.iter_mut().enumerate() {
        let (first, end) = (bounds[i / 2] as usize, bounds[i / 2 + 1] as usize);
        let at = |t: usize| t * 2 + i % 2;
        let label = first + labels[i] as usize;
        let weight = if label < end { weights[i] } else { 0.0 };
        let largest = (first..end).map(|t| logits[at(t)]).fold(f32::MIN, f32::max);
        let sum: f32 = (first..end).map(|t| (logits[at(t)] - largest).exp()).sum();
        for t in first..end {
            let p = (logits[at(t)] - largest).exp() / sum;
            d_logits[at(t)] = weight * if t == label { p - 1.0 } else { p };
        }
        *loss = weight * (sum.ln() + largest - logits[at(label.min(end - 1))]);
    }
}

/// Squared differences or binary cross-entropy; see [`crate::ops::element_loss`].
pub fn element(
    d_logits: &mut [f32],
    loss: &mut [f32],
    logits: &[f32],
    targets: &[f32],
    weights: &[f32],
    cols: usize,
    squared: bool,
) {
    let rows = d_logits.chunks_exact_mut(cols).zip(logits.chunks_exact(cols)).zip(targets.chunks_exact(cols));
    for ((((d, x), t), loss), weight) in rows.zip(loss).zip(weights) {
        let mut sum = 0.0;
        for ((d, x), t) in d.iter_mut().zip(x).zip(t) {
            if squared {
                sum += (x - t) * (x - t);
                *d = weight * 2.0 * (x - t);
            } else {
                let e = (-x.abs()).exp();
                sum += x.max(0.0) - x * t + e.ln_1p();
                *d = weight * (if *x >= 0.0 { 1.0 } else { e } / (1.0 + e) - t);
            }
        }
        *loss = weight * sum;
    }
}
