//! Compares each kernel with a naive loop in f64, and bit for bit with itself when it is cut differently.

use proptest::prelude::*;

use super::micro::Isa;
use super::pace::Dispatch;
use super::pack::Panels;
use super::pool::Pool;
use super::{attention::attention, gemm::gemm, rows};
use crate::activation::Activation;
use crate::tensor::{DType, HostTensor};

/// One thread with every instruction set of this machine, and three threads with the best set.
fn pools() -> Vec<Pool> {
    let mut pools: Vec<Pool> = Isa::available().into_iter().map(|isa| Pool::with_isa(1, isa)).collect();
    pools.push(Pool::new(3));
    pools
}

/// Pseudo-random numbers in -1..1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A matrix as it is stored in a file.
struct Stored {
    dtype: DType,
    rows: usize,
    cols: usize,
    bytes: Vec<u8>,
    scales: Vec<u8>,
}

impl Stored {
    fn new(dtype: DType, rows: usize, cols: usize, seed: u64) -> Self {
        let x = noise(seed, rows * cols);
        let bytes = match dtype {
            DType::F32 => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DType::F64 => x.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            DType::F16 => x.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
            DType::BF16 => x.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
            DType::I8 => x.iter().map(|v| (v * 127.0).round() as i8 as u8).collect(),
        };
        let scales = match dtype {
            DType::I8 => noise(seed + 1, rows).iter().flat_map(|v| (0.01 + v.abs() / 64.0).to_le_bytes()).collect(),
            _ => Vec::new(),
        };
        Self { dtype, rows, cols, bytes, scales }
    }

    fn tensor(&self) -> HostTensor<'_> {
        HostTensor::new(self.dtype, self.rows, self.cols, &self.bytes, &self.scales)
    }
}

fn normal(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// erfc, by its Taylor series near zero and its continued fraction outside. Slow, but accurate to 1e-14 where it
/// matters.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    let scale = 1.0 / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return 1.0 - 2.0 * scale * sum;
    }
    let mut tail = 0.0;
    for n in (1..200).rev() {
        tail = f64::from(n) / 2.0 / (x + tail);
    }
    scale * (-x * x).exp() / (x + tail)
}

/// The definitions of transformers, in f64.
fn reference(act: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match act {
        Activation::Linear => x,
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Gelu10 => (x * normal(x)).clamp(-10.0, 10.0),
        Activation::Relu => x.max(0.0),
        Activation::Relu2 => x.max(0.0).powi(2),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => x.max(0.01 * x),
        Activation::Silu => x * sigmoid(x),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Mish => x * x.exp().ln_1p().tanh(),
        Activation::Laplace => normal((x - 707107e-6) / 0.282095),
    }
}

#[test]
fn activations_match_their_definitions() {
    let x: Vec<f32> = (-200_000..=200_000).map(|i| i as f32 * 1e-4).collect();
    for isa in Isa::available() {
        for act in Activation::ALL {
            let mut y = x.clone();
            super::math::activate(isa, act, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let want = reference(act, f64::from(*x));
                // The rounding of the output itself (for large x), plus 5e-7 for the approximation.
                let bound = 5e-7 + 2e-7 * want.abs();
                assert!((f64::from(*y) - want).abs() <= bound, "{act:?}({x}) on {isa:?}: {y}, not {want}");
            }
        }
    }
}

#[test]
fn gelu_keeps_relative_accuracy_on_the_negative_side() {
    let x: Vec<f32> = (0..6000).map(|i| i as f32 * -1e-3).collect();
    for isa in Isa::available() {
        let mut y = x.clone();
        super::math::activate(isa, Activation::Gelu, &mut y);
        for (x, y) in x.iter().zip(&y) {
            let want = reference(Activation::Gelu, f64::from(*x));
            assert!((f64::from(*y) - want).abs() <= 2e-4 * want.abs(), "gelu({x}) on {isa:?}: {y}, not {want}");
        }
    }
}

#[test]
fn activations_at_the_ends() {
    for isa in Isa::available() {
        for act in Activation::ALL {
            let mut y = [f32::NAN, -1e30, -1e4, -90.0, 90.0, 1e4];
            super::math::activate(isa, act, &mut y);
            assert!(y[0].is_nan(), "{act:?} on {isa:?} hides NaN");
            for (x, y) in [-1e30, -1e4, -90.0, 90.0, 1e4].into_iter().zip(&y[1..]) {
                let want = reference(act, x) as f32;
                assert!((y - want).abs() <= 1e-6 * want.abs() + 1e-30, "{act:?}({x}) on {isa:?}: {y}, not {want}");
            }
        }
    }
}

#[test]
fn simple_and_wide_activations_have_the_same_bits() {
    // The place of an element, in a vector or in the remainder, must not change its result.
    let x: Vec<f32> = noise(3, 77).iter().map(|x| x * 9.0).collect();
    for isa in Isa::available() {
        for act in Activation::ALL {
            let mut whole = x.clone();
            super::math::activate(isa, act, &mut whole);
            for (x, whole) in x.iter().zip(&whole) {
                let mut one = [*x];
                super::math::activate(isa, act, &mut one);
                assert_eq!(one[0].to_bits(), whole.to_bits(), "{act:?}({x}) on {isa:?}");
            }
        }
    }
}

/// The operands of a GEMM.
struct Case {
    m: usize,
    x: Vec<f32>,
    weights: Vec<Stored>,
    bias: Option<Vec<f32>>,
    act: Activation,
    residual: Option<Vec<f32>>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let stack: Vec<_> = self.weights.iter().map(|w| (w.dtype, w.rows)).collect();
        let (bias, residual) = (self.bias.is_some(), self.residual.is_some());
        write!(f, "m {} k {} {stack:?} bias {bias} {:?} residual {residual}", self.m, self.k(), self.act)
    }
}

impl Case {
    fn n(&self) -> usize {
        self.weights.iter().map(|w| w.rows).sum()
    }

    fn k(&self) -> usize {
        self.weights[0].cols
    }

    fn run(&self, pool: &Pool) -> Vec<f32> {
        let w = Panels::pack(pool, &self.weights.iter().map(Stored::tensor).collect::<Vec<_>>());
        let mut y = vec![f32::NAN; self.m * self.n()];
        gemm(
            &Dispatch::whole(pool),
            &mut y,
            &self.x,
            self.m,
            w.view(),
            self.bias.as_deref(),
            self.act,
            self.residual.as_deref(),
        );
        y
    }

    /// The result, and for each output the sum of the magnitudes of its terms, which bounds the rounding error.
    fn naive(&self) -> Vec<(f64, f64)> {
        let (n, k) = (self.n(), self.k());
        let w: Vec<f32> = self.weights.iter().flat_map(|w| w.tensor().to_f32()).collect();
        let mut y = Vec::new();
        for r in 0..self.m {
            for c in 0..n {
                let bias = self.bias.as_ref().map_or(0.0, |b| f64::from(b[c]));
                let residual = self.residual.as_ref().map_or(0.0, |x| f64::from(x[r * n + c]));
                let terms = (0..k).map(|i| f64::from(self.x[r * k + i]) * f64::from(w[c * k + i]));
                let (sum, size) = terms.fold((bias, bias.abs()), |(s, a), t| (s + t, a + t.abs()));
                y.push((reference(self.act, sum) + residual, size + residual.abs() + 1.0));
            }
        }
        y
    }
}

fn dtype() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F32), Just(DType::F16), Just(DType::BF16), Just(DType::I8)]
}

prop_compose! {
    fn case()(
        m in 1usize..40,
        rows in prop::collection::vec(1usize..50, 1..4),
        k in prop_oneof![1usize..70, 500usize..530, 1020usize..1050],
        dtype in dtype(),
        seed in 1u64..1 << 40,
        bias in any::<bool>(),
        act in prop::sample::select(&[Activation::Linear, Activation::Gelu, Activation::Tanh]),
        residual in any::<bool>(),
    ) -> Case {
        let n: usize = rows.iter().sum();
        Case {
            m,
            x: noise(seed, m * k),
            weights: rows.iter().enumerate().map(|(i, n)| Stored::new(dtype, *n, k, seed + 2 + i as u64)).collect(),
            bias: bias.then(|| noise(seed + 10, n)),
            act,
            residual: residual.then(|| noise(seed + 11, m * n)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn gemm_matches_naive(case in case()) {
        let want = case.naive();
        for pool in pools() {
            for (i, (got, (want, size))) in case.run(&pool).iter().zip(&want).enumerate() {
                // K roundings, each of at most half an ulp of a partial sum. In practice the error is far smaller.
                let bound = 2e-6 * size;
                prop_assert!((f64::from(*got) - want).abs() <= bound, "[{i}] on {:?}: {got}, not {want}", pool.isa());
            }
        }
    }

    #[test]
    fn gemm_rows_have_the_same_bits_anywhere(case in case(), pick in any::<prop::sample::Index>()) {
        let whole = case.run(&Pool::new(1));
        for threads in [2, 3, 16] {
            prop_assert_eq!(bits(&whole), bits(&case.run(&Pool::new(threads))));
        }
        let (n, k, r) = (case.n(), case.k(), pick.index(case.m));
        let one = Case {
            m: 1,
            x: case.x[r * k..][..k].to_vec(),
            residual: case.residual.as_ref().map(|x| x[r * n..][..n].to_vec()),
            ..case
        };
        prop_assert_eq!(bits(&whole[r * n..][..n]), bits(&one.run(&Pool::new(1))));
    }

    #[test]
    fn fused_instruction_sets_agree(case in case()) {
        let fused: Vec<_> = Isa::available().into_iter().filter(|isa| *isa != Isa::Portable).collect();
        for isa in fused {
            prop_assert_eq!(bits(&case.run(&Pool::with_isa(1, isa))), bits(&case.run(&Pool::new(1))));
        }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Fixed bits connect machines that cannot be compared directly: the sets of x86 and NEON all compute these bits.
#[test]
fn fused_instruction_sets_are_one_chain_of_mul_adds() {
    for (dtype, m, n, k) in [(DType::F32, 13, 35, 401), (DType::F32, 1, 16, 8), (DType::I8, 7, 37, 77)] {
        let case = Case {
            m,
            x: noise(7, m * k),
            weights: vec![Stored::new(dtype, n, k, 8)],
            bias: Some(noise(9, n)),
            act: Activation::Linear,
            residual: Some(noise(10, m * n)),
        };
        let w = case.weights[0].tensor();
        let mut want = Vec::new();
        for (x, residual) in case.x.chunks(k).zip(noise(10, m * n).chunks(n)) {
            for (row, (bias, residual)) in noise(9, n).iter().zip(residual).enumerate() {
                let chain = |w: &mut dyn Iterator<Item = f32>| x.iter().zip(w).fold(0.0, |s, (x, w)| x.mul_add(w, s));
                let sum = if dtype == DType::I8 {
                    let (values, scale) = w.row_i8(row);
                    chain(&mut values.iter().map(|q| f32::from(*q))) * scale
                } else {
                    let mut values = vec![0.0; k];
                    w.row_f32(row, &mut values);
                    chain(&mut values.into_iter())
                };
                want.push(sum + bias + residual);
            }
        }
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Portable || super::math::FUSED) {
            assert_eq!(bits(&case.run(&Pool::with_isa(1, isa))), bits(&want), "{dtype:?} {m}x{n}x{k} on {isa:?}");
        }
    }
}

#[test]
fn i8_and_f16_panels_stay_so() {
    let w = Stored::new(DType::I8, 40, 100, 1);
    let panels = Panels::pack(&Pool::new(1), &[w.tensor()]);
    assert_eq!((panels.view().n(), panels.view().k()), (40, 100));
    assert_eq!(panels.bytes(), 48 * 100 + 48 * 4);
    let w = Stored::new(DType::F16, 40, 100, 1);
    assert_eq!(Panels::pack(&Pool::new(1), &[w.tensor()]).bytes(), 48 * 100 * 2);
}

#[test]
fn many_rows_are_cut_into_blocks() {
    for (m, threads) in [(133, 1), (400, 1), (400, 7)] {
        let case = Case {
            m,
            x: noise(5, m * 33),
            weights: vec![Stored::new(DType::F32, 35, 33, 6)],
            bias: None,
            act: Activation::Linear,
            residual: None,
        };
        let got = case.run(&Pool::new(threads));
        for (got, (want, size)) in got.iter().zip(case.naive()) {
            assert!((f64::from(*got) - want).abs() <= 1e-6 * size);
        }
    }
}

fn naive_attention(qkv: &[f32], offsets: &[u32], heads: usize, size: usize, scale: f32) -> Vec<f64> {
    let hidden = heads * size;
    let at = |t: usize, which: usize, i: usize| f64::from(qkv[t * 3 * hidden + which * hidden + i]);
    let mut ctx = vec![0.0; qkv.len() / 3];
    for w in offsets.windows(2) {
        let tokens = w[0] as usize..w[1] as usize;
        for q in tokens.clone() {
            for column in (0..hidden).step_by(size) {
                let score = |k: usize| (column..column + size).map(|i| at(q, 0, i) * at(k, 1, i)).sum::<f64>();
                let scores: Vec<f64> = tokens.clone().map(|k| score(k) * f64::from(scale)).collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                for i in column..column + size {
                    let mix = tokens.clone().zip(&scores).map(|(k, s)| (s - max).exp() * at(k, 2, i)).sum::<f64>();
                    ctx[q * hidden + i] = mix / sum;
                }
            }
        }
    }
    ctx
}

fn run_attention(pool: &Pool, qkv: &[f32], offsets: &[u32], heads: usize, size: usize, scale: f32) -> Vec<f32> {
    let mut ctx = vec![f32::NAN; qkv.len() / 3];
    attention(&Dispatch::whole(pool), &mut ctx, qkv, offsets, heads, size, scale);
    ctx
}

#[test]
fn attention_takes_empty_sequences_and_empty_batches() {
    let pool = Pool::new(2);
    assert!(run_attention(&pool, &[], &[0], 2, 4, 1.0).is_empty());
    assert!(run_attention(&pool, &[], &[0, 0, 0], 2, 4, 1.0).is_empty());
    let qkv = noise(1, 5 * 3 * 8);
    let want = run_attention(&pool, &qkv, &[0, 5], 2, 4, 1.0);
    assert_eq!(bits(&want), bits(&run_attention(&pool, &qkv, &[0, 0, 5, 5], 2, 4, 1.0)));
}

#[test]
fn attention_shows_nan() {
    let mut qkv = noise(1, 20 * 3 * 8);
    qkv[24 * 7 + 8] = f32::NAN;
    let got = run_attention(&Pool::new(1), &qkv, &[0, 20], 1, 8, 1.0);
    assert!(got.iter().all(|x| x.is_nan()), "a key that is NaN reaches every query");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn attention_matches_naive_alone_and_in_a_batch(
        lens in prop::collection::vec(0usize..70, 1..5),
        heads in 1usize..4,
        size in prop::sample::select(&[1usize, 5, 8, 16, 23, 32, 64]),
        gain in prop::sample::select(&[0.0f32, 1.0, 30.0]),
        seed in 1u64..1 << 40,
    ) {
        let mut offsets = vec![0];
        for len in &lens {
            offsets.push(offsets[offsets.len() - 1] + *len as u32);
        }
        let width = 3 * heads * size;
        let qkv: Vec<f32> = noise(seed, offsets[lens.len()] as usize * width).iter().map(|x| x * gain).collect();
        let scale = 1.0 / (size as f32).sqrt();
        let want = naive_attention(&qkv, &offsets, heads, size, scale);
        for pool in pools() {
            let got = run_attention(&pool, &qkv, &offsets, heads, size, scale);
            for (got, want) in got.iter().zip(&want) {
                // Scores reach gain² sqrt(size), which multiplies their rounding error.
                let bound = f64::from(2e-6 * gain * (1.0 + 0.3 * gain * gain * (size as f32).sqrt())) + 1e-12;
                prop_assert!((f64::from(*got) - want).abs() <= bound, "on {:?}: {got}, not {want}", pool.isa());
            }
        }
        let batch = run_attention(&Pool::new(1), &qkv, &offsets, heads, size, scale);
        prop_assert_eq!(bits(&batch), bits(&run_attention(&Pool::new(5), &qkv, &offsets, heads, size, scale)));
        for w in offsets.windows(2) {
            let alone = &qkv[w[0] as usize * width..w[1] as usize * width];
            let alone = run_attention(&Pool::new(2), alone, &[0, w[1] - w[0]], heads, size, scale);
            prop_assert_eq!(bits(&batch[w[0] as usize * width / 3..w[1] as usize * width / 3]), bits(&alone));
        }
        for isa in Isa::available().into_iter().filter(|isa| *isa != Isa::Portable) {
            let other = run_attention(&Pool::with_isa(1, isa), &qkv, &offsets, heads, size, scale);
            prop_assert_eq!(bits(&batch), bits(&other));
        }
    }

    #[test]
    fn layer_norm_matches_naive(rows in 1usize..60, cols in 1usize..900, shift in -100f32..100.0, seed in 1u64..1 << 40) {
        let x: Vec<f32> = noise(seed, rows * cols).iter().map(|x| x + shift).collect();
        let (gamma, beta) = (noise(seed + 1, cols), noise(seed + 2, cols));
        let run = |pool: &Pool, x: &[f32]| {
            let mut y = vec![f32::NAN; x.len()];
            rows::layer_norm(&Dispatch::whole(pool), &mut y, x, &gamma, &beta, 1e-5);
            y
        };
        for pool in pools() {
            let got = run(&pool, &x);
            for (y, x) in got.chunks(cols).zip(x.chunks(cols)) {
                let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / cols as f64;
                let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / cols as f64;
                for i in 0..cols {
                    let want = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(gamma[i]) + f64::from(beta[i]);
                    // The mean is rounded to an ulp of `shift`, and the division by the deviation magnifies that.
                    let bound = 2e-6 + 4e-7 * f64::from(shift.abs()) / (variance + 1e-5).sqrt();
                    prop_assert!((f64::from(y[i]) - want).abs() <= bound, "on {:?}: {}, not {want}", pool.isa(), y[i]);
                }
            }
        }
        let whole = run(&Pool::new(1), &x);
        prop_assert_eq!(bits(&whole), bits(&run(&Pool::new(4), &x)));
        prop_assert_eq!(bits(&whole[(rows - 1) * cols..]), bits(&run(&Pool::new(1), &x[(rows - 1) * cols..])));
    }
}
