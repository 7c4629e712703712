use super::*;
#[allow(clippy::too_many_arguments)]
pub fn layer_norm(_p: &Pool, y: &mut [f32], x: &[f32], g: &[f32], b: &[f32], rows: usize, cols: usize, eps: f32) {
    for r in 0..rows {
        let x = &x[r * cols..][..cols];
        let m = x.iter().sum::<f32>() / cols as f32;
        let v = x.iter().map(|a| (a - m) * (a - m)).sum::<f32>() / cols as f32;
        let s = 1.0 / (v + eps).sqrt();
        for c in 0..cols {
            y[r * cols + c] = (x[c] - m) * s * g[c] + b[c];
        }
    }
}
