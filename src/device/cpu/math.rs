//! Pointwise functions, written so that compilers vectorize loops over them: no branch, no call, no table.
//!
//! `FMA` says whether the target has fused multiply-add. Without it, `f32::mul_add` would call into libm. The
//! coefficients are minimax fits, rounded to f32.

use std::f32::consts::{LN_2, LOG2_E};

use crate::activation::Activation;

/// Whether the build's own target has fused multiply-add.
pub(super) const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// Defines a function as `$body::<true>` compiled for AVX2 with FMA if `isa` has it, else as `$body::<FUSED>`.
///
/// AVX-512 would gain nothing here, so it uses the AVX2 version and gets the same bits.
macro_rules! for_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::device::cpu::micro::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            if isa != $crate::device::cpu::micro::Isa::Portable {
                #[target_feature(enable = "avx2,fma")]
                fn fused($($arg: $ty),*) {
                    $body::<true>($($arg),*)
                }
                // SAFETY: a pool only uses an instruction set that the machine has, and the other sets include this
                // one.
                return unsafe { fused($($arg),*) };
            }
            let _ = isa;
            $body::<{ $crate::device::cpu::math::FUSED }>($($arg),*)
        }
    };
}
pub(super) use for_isa;

/// `a * b + c`, fused if `FMA`.
#[inline(always)]
pub(super) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Evaluates a polynomial. The coefficients start with that of the highest power.
#[inline(always)]
fn poly<const FMA: bool>(x: f32, coefficients: &[f32]) -> f32 {
    let mut y = coefficients[0];
    for c in &coefficients[1..] {
        y = mul_add::<FMA>(y, x, *c);
    }
    y
}

/// Adding this constant rounds a small float to an integer, which is then in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// `2ⁿ` for an integer n in -126..=127 that was rounded by adding [`ROUND`]; infinity for 128.
#[inline(always)]
fn power_of_two(rounded: f32) -> f32 {
    f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// `eˣ` with an error of at most 2 ulp; infinity from 88.4, zero where the result would be subnormal.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    // These comparisons let NaN pass, and each becomes one instruction.
    let y = if x < -87.33 { -87.33 } else { x };
    let y = if y > 88.8 { 88.8 } else { y };
    let rounded = mul_add::<FMA>(y, LOG2_E, ROUND);
    let n = rounded - ROUND;
    // ln 2 in two parts. The first has so few bits that its product with n is exact.
    let r = mul_add::<FMA>(n, -0.693_359_4, y);
    let r = mul_add::<FMA>(n, 2.121_944_4e-4, r);
    let p = poly::<FMA>(r, &[8.312_521e-3, 4.189_016e-2, 1.666_711_4e-1, 4.999_923e-1, 1.0, 1.0]);
    let e = p * power_of_two(rounded);
    if x < -87.33 { 0.0 } else { e }
}

/// `2ˣ` for x in -125..=127 (and NaN for NaN), with a relative error of at most 2e-7.
#[inline(always)]
pub(super) fn exp2<const FMA: bool>(x: f32) -> f32 {
    let rounded = x + ROUND;
    let r = x - (rounded - ROUND);
    let p = poly::<FMA>(r, &[1.326_47e-3, 9.671_534e-3, 5.550_734e-2, 2.402_224_2e-1, LN_2, 1.0]);
    // p is in 0.7..=1.42: adding to its exponent multiplies it.
    f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// `1 - Φ(a)` for a >= 0, as 2 to the power of a polynomial fitted to its logarithm. This is accurate far into the
/// tail, and needs no division. The result is zero from 8 on, where the true value is below 1e-15.
#[inline(always)]
pub(super) fn normal_tail<const FMA: bool>(a: f32) -> f32 {
    let inside = if a > 8.0 { 8.0 } else { a };
    let t = poly::<FMA>(
        inside,
        &[
            4.474_445_3e-8,
            -1.373_357_1e-6,
            1.549_448_1e-5,
            -5.394_006e-5,
            -4.938_192e-4,
            7.570_245e-3,
            -5.286_764_7e-2,
            -4.590_816e-1,
            -1.151_120_8,
            -9.999_997e-1,
        ],
    );
    let tail = exp2::<FMA>(t);
    if a > 8.0 { 0.0 } else { tail }
}

#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x > 0.0 { x } else { 0.0 }
}

#[inline(always)]
pub(super) fn gelu<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    relu(x) - a * normal_tail::<FMA>(a)
}

#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

#[inline(always)]
fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    // 2 sqrt(2/π) x (1 + 0.044715 x²)
    let u = x * mul_add::<FMA>(x * x, 0.071_354_814, 1.595_769_2);
    x * sigmoid::<FMA>(u)
}

#[inline(always)]
fn mish<const FMA: bool>(x: f32) -> f32 {
    // tanh(ln(1 + e)) = ((1 + e)² - 1) / ((1 + e)² + 1). It rounds to 1 long before e² overflows.
    let e = exp::<FMA>(if x > 30.0 { 30.0 } else { x });
    let n = e * (e + 2.0);
    x * (n / (n + 2.0))
}

#[inline(always)]
fn laplace<const FMA: bool>(x: f32) -> f32 {
    // sqrt(1/2) and sqrt(1/4π), rounded as the definition rounds them.
    const MEAN: f32 = 707_107e-6;
    let y = (x - MEAN) * (1.0 / 0.282_095);
    let tail = normal_tail::<FMA>(y.abs());
    if y < 0.0 { tail } else { 1.0 - tail }
}

for_isa! {
    /// Applies an activation in place.
    pub(crate) fn activate(act: Activation, x: &mut [f32]) = activate_body
}

#[inline(always)]
fn activate_body<const FMA: bool>(act: Activation, x: &mut [f32]) {
    #[inline(always)]
    fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
        for v in x {
            *v = f(*v);
        }
    }
    match act {
        Activation::Linear => {}
        Activation::Gelu => each(x, gelu::<FMA>),
        Activation::GeluTanh => each(x, gelu_tanh::<FMA>),
        Activation::QuickGelu => each(x, |v| v * sigmoid::<FMA>(1.702 * v)),
        Activation::Gelu10 => each(x, |v| {
            let g = gelu::<FMA>(v);
            if g > 10.0 { 10.0 } else { g }
        }),
        Activation::Relu => each(x, |v| if v < 0.0 { 0.0 } else { v }),
        Activation::Relu2 => each(x, |v| if v < 0.0 { 0.0 } else { v * v }),
        Activation::Relu6 => each(x, |v| {
            let v = if v < 0.0 { 0.0 } else { v };
            if v > 6.0 { 6.0 } else { v }
        }),
        Activation::LeakyRelu => each(x, |v| if v < 0.0 { 0.01 * v } else { v }),
        Activation::Silu => each(x, |v| v * sigmoid::<FMA>(v)),
        Activation::Sigmoid => each(x, sigmoid::<FMA>),
        Activation::Tanh => each(x, |v| 1.0 - 2.0 / (exp::<FMA>(2.0 * v) + 1.0)),
        Activation::Mish => each(x, mish::<FMA>),
        Activation::Laplace => each(x, laplace::<FMA>),
    }
}

/// The number of partial results of a reduction over a row. Element i goes to lane i mod 16, for any vector width.
pub(super) const LANES: usize = 16;

/// Adds the lanes: one half to the other, again and again.
#[inline(always)]
pub(super) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// Sums `f` over a row, in an order that depends only on its length.
#[inline(always)]
pub(super) fn sum_by(row: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*x, *lane);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = f(*x, *lane);
    }
    sum_lanes(lanes)
}
