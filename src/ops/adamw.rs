//! AdamW with the gradient's clip factor, on one parameter; the gradient is 0 afterwards.
//!
//! `g = d_p min(1, max_norm / (|all gradients| + 1e-6))`, `m += (1 - beta1) (g - m)`, `v = beta2 v + (1 - beta2) g²`,
//! `p = p (1 - lr decay) - lr c1 m / (c2 sqrt(v) + eps)`. control `[1, 4]` is (key, lr, c1, c2): PyTorch's c1 is
//! `1 / (1 - beta1ᵗ)` and c2 `1 / sqrt(1 - beta2ᵗ)`, BERT's own optimizer has 1 for both. squared_norm is one element;
//! where it is not finite the step is not taken, and the gradient is 0 all the same.

use crate::device::cpu::{CpuCall, parallel};
use crate::device::{Op, Rows, Variant, params, resolved};
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::ops::spread;

params! { len: u32, beta1: f32, beta2: f32, eps: f32, decay: f32, max_norm: f32 }

pub static OP: Op = Op {
    name: "adamw",
    params: Params::STRUCT,
    reads: &["control", "squared_norm", "p", "d_p", "m", "v"],
    writes: &["p", "d_p", "m", "v"],
    twin,
    variants: only!("adamw", "../../shaders/adamw.wgsl", resolved!(|p| spread(p.len, 64))),
    flops: resolved!(|p| 16.0 * f64::from(p.len)),
};

/// What does not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct AdamW {
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Weight decay, decoupled from the gradient.
    pub decay: f32,
    /// The norm that all gradients together are clipped to; 0 for none.
    pub max_norm: f32,
}

impl AdamW {
    /// # Errors
    /// [`Error::Option`] that names the one that is out of range: steps by it would not be finite.
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

/// A parameter with its gradient and moments, all of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub p: Tensor,
    pub d_p: Tensor,
    pub m: Tensor,
    pub v: Tensor,
}

/// Records the step of one parameter.
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
