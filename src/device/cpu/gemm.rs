use super::*;
use crate::activation::Activation;
#[allow(clippy::too_many_arguments)]
pub fn gemm(
    _p: &Pool,
    y: &mut [f32],
    x: &[f32],
    m: usize,
    w: &Panels,
    bias: Option<&[f32]>,
    act: Activation,
    res: Option<&[f32]>,
) {
    for i in 0..m {
        for j in 0..w.n {
            let mut s = 0.0;
            for k in 0..w.k {
                s += x[i * w.k + k] * w.w[j * w.k + k];
            }
            let v = act.apply(s + bias.map_or(0.0, |b| b[j]));
            y[i * w.n + j] = v + res.map_or(0.0, |r| r[i * w.n + j]);
        }
    }
}
