//! One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101) on one parameter, with the gradient clipped by the
//! global norm.
//!
//! `g = d_p min(1, max_norm / (|all gradients| + 1e-6))`, `m += (1 - beta1) (g - m)`, `v = beta2 v + (1 - beta2) g²`,
//! `p = p (1 - lr decay) - lr c1 m / (c2 sqrt(v) + eps)`. Afterwards the gradient is 0.
//!
//! control `[1, 4]` is (key, lr, c1, c2). PyTorch's optimizer has c1 = `1 / (1 - beta1ᵗ)` and c2 =
//! `1 / sqrt(1 - beta2ᵗ)`; BERT's (`optimization.py` of google-research/bert) has 1 for both. squared_norm is one
//! element. If it is not finite, the step is skipped, and the gradient is still set to 0.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { len: u32, beta1: f32, beta2: f32, eps: f32, decay: f32, max_norm: f32 }

/// The op `adamw`: reads control `[1, 4]` and squared_norm `[1, 1]`; updates p, d_p, m and v in place, all of one
/// shape.
pub static OP: Op = Op {
    name: "adamw",
    params: Params::STRUCT,
    reads: &["control", "squared_norm", "p", "d_p", "m", "v"],
    writes: &["p", "d_p", "m", "v"],
    twin,
    variants: only!("adamw", "../../shaders/adamw.wgsl", resolved!(|p| spread(p.len, 64))),
    flops: resolved!(|p| 16.0 * f64::from(p.len)),
};

/// The constants of the optimizer, the same at every step.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct AdamW {
    /// The decay of the first moment m, such as 0.9; at least 0 and below 1.
    pub beta1: f32,
    /// The decay of the second moment v, such as 0.999; at least 0 and below 1.
    pub beta2: f32,
    /// Added to the denominator, such as 1e-8; above 0.
    pub eps: f32,
    /// The weight decay, decoupled from the gradient; 0 for none.
    pub decay: f32,
    /// The norm to which all gradients together are clipped; 0 for no clipping.
    pub max_norm: f32,
}

impl AdamW {
    /// Checks that each value is in its range. Otherwise steps could be infinite or NaN.
    ///
    /// # Errors
    /// [`Error::Option`] names the first value that is out of range.
    pub fn check(&self) -> Result<()> {
        let Self { beta1, beta2, eps, decay, max_norm } = *self;
        let is_some = |x: f32| x.is_finite() && x >= 0.0;
        let wrong = [
            ("beta1", beta1, is_some(beta1) && beta1 < 1.0, "such as 0.9"),
            ("beta2", beta2, is_some(beta2) && beta2 < 1.0, "such as 0.999"),
            ("epsilon", eps, is_some(eps) && eps > 0.0, "such as 1e-8"),
            ("weight_decay", decay, is_some(decay), "such as 0.01, or 0 for none"),
            ("max_grad_norm", max_norm, is_some(max_norm), "such as 1, or 0 for none"),
        ]
        .into_iter()
        .find(|(_, _, is_right, _)| !is_right);
        match wrong {
            None => Ok(()),
            Some((name, value, _, such)) => Err(Error::Option {
                name,
                problem: format!("{value} is out of range"),
                help: format!("Give one {such}").into(),
            }),
        }
    }
}

/// A parameter with its gradient and its two moments, all of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The parameter.
    pub p: Tensor,
    /// Its gradient. The step reads it and sets it to 0.
    pub d_p: Tensor,
    /// The first moment: the running mean of the gradient.
    pub m: Tensor,
    /// The second moment: the running mean of the squared gradient.
    pub v: Tensor,
}

/// Records one step of a parameter, in place. `control` is `[1, 4]` and `squared_norm` is `[1, 1]`, as the module says.
pub fn adamw(g: &mut Graph, moments: Moments, control: Tensor, squared_norm: Tensor, options: &AdamW) {
    let Moments { p, d_p, m, v } = moments;
    let Rows::Fixed(rows) = p.rows else { unreachable!("a parameter's shape is fixed") };
    let AdamW { beta1, beta2, eps, decay, max_norm } = *options;
    let params = Params { len: rows * p.cols, beta1, beta2, eps, decay, max_norm };
    g.call(&OP, &[control, squared_norm, p, d_p, m, v], &[p, d_p, m, v], params);
}

fn twin(call: &mut CpuCall<'_>) {
    let Values { len, beta1, beta2, eps, decay, max_norm } = Params::resolved(call.params);
    let (control, norm) = (call.reads[0].plain(), call.reads[1].plain()[0].sqrt());
    let clip = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    let (keep, rate, c2) = (1.0 - control[1] * decay, control[1] * control[2], control[3]);
    let [p, d_p, m, v] = call.writes else { unreachable!("four tensors") };
    let writes = [(&mut **p, 1), (&mut **d_p, 1), (&mut **m, 1), (&mut **v, 1)];
    parallel::for_rows(call.dispatch, len as usize, writes, |_, [p, d_p, m, v], _| {
        if !norm.is_finite() {
            return d_p.fill(0.0);
        }
        for (((p, d_p), m), v) in p.iter_mut().zip(d_p).zip(m).zip(v) {
            let g = *d_p * clip;
            *m += (1.0 - beta1) * (g - *m);
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *p = *p * keep - rate * *m / (v.sqrt() * c2 + eps);
            *d_p = 0.0;
        }
    });
}
