//! Activations as operations of their own, and their derivatives.

use crate::activation::Activation;
use crate::device::cpu::math::{self, exp, for_isa, gelu, normal_tail, relu, sigmoid};
use crate::device::cpu::pace::Dispatch;
use crate::device::cpu::parallel::for_rows;

/// `y = act(x)`.
pub fn apply(dispatch: &Dispatch<'_>, y: &mut [f32], x: &[f32], act: Activation) {
    let isa = dispatch.isa();
    for_rows(dispatch, y.len(), [(y, 1)], |range, [y], _| {
        y.copy_from_slice(&x[range]);
        math::activate(isa, act, y);
    });
}

/// `d_x = d_y act'(x)`.
pub fn backward(dispatch: &Dispatch<'_>, d_x: &mut [f32], x: &[f32], d_y: &[f32], act: Activation) {
    let isa = dispatch.isa();
    for_rows(dispatch, d_x.len(), [(d_x, 1)], |range, [d_x], _| slopes(isa, act, d_x, &x[range.clone()], &d_y[range]));
}

for_isa! {
    fn slopes(act: Activation, d_x: &mut [f32], x: &[f32], d_y: &[f32]) = slopes_body
}

#[inline(always)]
fn slopes_body<const FMA: bool>(act: Activation, d_x: &mut [f32], x: &[f32], d_y: &[f32]) {
    #[inline(always)]
    fn each(d_x: &mut [f32], x: &[f32], d_y: &[f32], slope: impl Fn(f32) -> f32) {
        for ((d_x, x), d_y) in d_x.iter_mut().zip(x).zip(d_y) {
            *d_x = d_y * slope(*x);
        }
    }
    // `above` chooses 1, otherwise `below`.
    let step = |above: bool, below: f32| if above { 1.0 } else { below };
    // The derivative of x sigmoid(u), given s = sigmoid(u) and u'.
    let gated = |x: f32, s: f32, slope: f32| s + x * s * (1.0 - s) * slope;
    match act {
        Activation::Linear => d_x.copy_from_slice(d_y),
        Activation::Gelu => each(d_x, x, d_y, gelu_slope::<FMA>),
        Activation::Gelu10 => each(d_x, x, d_y, |v| if gelu::<FMA>(v) > 10.0 { 0.0 } else { gelu_slope::<FMA>(v) }),
        Activation::GeluTanh => each(d_x, x, d_y, |v| {
            let s = sigmoid::<FMA>(1.595_769_2 * v * (1.0 + 0.044_715 * v * v));
            gated(v, s, 1.595_769_2 * (1.0 + 0.134_145 * v * v))
        }),
        Activation::QuickGelu => each(d_x, x, d_y, |v| gated(v, sigmoid::<FMA>(1.702 * v), 1.702)),
        Activation::Relu => each(d_x, x, d_y, |v| step(v > 0.0, 0.0)),
        Activation::Relu2 => each(d_x, x, d_y, |v| 2.0 * relu(v)),
        Activation::Relu6 => each(d_x, x, d_y, |v| step(v > 0.0 && v < 6.0, 0.0)),
        Activation::LeakyRelu => each(d_x, x, d_y, |v| step(v > 0.0, 0.01)),
        Activation::Silu => each(d_x, x, d_y, |v| gated(v, sigmoid::<FMA>(v), 1.0)),
        Activation::Sigmoid => each(d_x, x, d_y, |v| {
            let s = sigmoid::<FMA>(v);
            s * (1.0 - s)
        }),
        Activation::Tanh => each(d_x, x, d_y, |v| {
            let t = 1.0 - 2.0 / (exp::<FMA>(2.0 * v) + 1.0);
            1.0 - t * t
        }),
        Activation::Mish => each(d_x, x, d_y, |v| {
            let e = exp::<FMA>(if v > 30.0 { 30.0 } else { v });
            let n = e * (e + 2.0);
            let t = n / (n + 2.0);
            t + v * (1.0 - t * t) * (e / (e + 1.0))
        }),
        Activation::Laplace => each(d_x, x, d_y, |v| {
            let z = (v - 707_107e-6) / 0.282_095;
            exp::<FMA>(-0.5 * z * z) * 1.414_212_2
        }),
    }
}

/// `Φ(x) + x φ(x)`.
#[inline(always)]
fn gelu_slope<const FMA: bool>(x: f32) -> f32 {
    const DENSITY: f32 = 0.398_942_3;
    let tail = normal_tail::<FMA>(x.abs());
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    cdf + x * DENSITY * exp::<FMA>(-0.5 * x * x)
}
