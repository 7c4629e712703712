//! Compares every op on every device, with every variant of its kernels, with naive loops in f64. A row or a sequence
//! must have the same bits alone and in any batch.

use std::collections::BTreeSet;

use cloze::activation::Activation;
use cloze::device::{BatchSizes, CallList, Cancel, Device, Gpu, Input, Op, Plan, Rows};
use cloze::graph::{Graph, Tensor};
use cloze::ops::{OPS, attention::attention, layer_norm::layer_norm, matmul::matmul};
use cloze::tensor::{DType, HostTensor};
use half::f16;

use crate::support::devices::{for_each_device, for_each_gpu};

/// Half a unit in the last place of f32.
const EPS: f64 = 1.0 / (1u64 << 24) as f64;

/// Reproducible numbers in -1 .. 1.
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        s ^= s << 13;
        s ^= s >> 17;
        s ^= s << 5;
        s as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn bytes(values: &[f32]) -> &[u8] {
    bytemuck::cast_slice(values)
}

fn run(device: &Device, plan: &mut Plan, sizes: BatchSizes, inputs: &[Input<'_>]) -> Vec<Vec<f32>> {
    pollster::block_on(device.run(plan, sizes, inputs, &Cancel::new())).expect("a run")
}

fn plan(device: &Device, list: &CallList, capacity: BatchSizes) -> Plan {
    pollster::block_on(device.plan(list, capacity)).expect("a plan")
}

fn pinned(gpu: &Gpu, list: &CallList, capacity: BatchSizes, name: &str) -> Plan {
    Plan::Gpu(Box::new(pollster::block_on(gpu.plan_pinned(list, capacity, Some(name))).expect("a plan")))
}

/// The variants in a plan.
fn used(plan: &Plan) -> BTreeSet<&'static str> {
    match plan {
        Plan::Gpu(p) => p.variants().map(|(_, name)| name).collect(),
        Plan::Cpu(_) => BTreeSet::new(),
    }
}

/// Calls `check` with the device's own plan, and then with each variant of `op` that fits the single call of `list`.
pub fn for_each_plan(
    device: &Device,
    list: &CallList,
    capacity: BatchSizes,
    op: &Op,
    mut check: impl FnMut(&str, &mut Plan),
) {
    let mut own = plan(device, list, capacity);
    let mut seen = used(&own);
    check(seen.first().unwrap_or(&"the twin"), &mut own);
    if let Device::Gpu(gpu) = device {
        for variant in op.variants.iter().filter(|v| v.family == gpu.family()) {
            let mut plan = pinned(gpu, list, capacity, variant.name);
            if used(&plan).contains(variant.name) && seen.insert(variant.name) {
                check(variant.name, &mut plan);
            }
        }
    }
}

fn tokens(n: usize) -> BatchSizes {
    BatchSizes { tokens: n as u32, sequences: 1, longest: n as u32, picked: 0 }
}

// ---- matmul

/// The sizes and options of a linear layer.
struct Layer {
    m: usize,
    n: usize,
    k: usize,
    dtype: DType,
    residual: bool,
    activation: Activation,
}

/// A layer recorded on a device, with its inputs.
struct Recorded {
    list: CallList,
    x: Tensor,
    r: Option<Tensor>,
    /// W as the device stores it, widened; the bias; x; the residual.
    w: Vec<f32>,
    b: Vec<f32>,
    xs: Vec<f32>,
    rs: Vec<f32>,
}

impl Layer {
    fn record(&self, device: &Device) -> Recorded {
        let Layer { m, n, k, .. } = *self;
        let w = noise(n * k, 7);
        let (stored, scales): (Vec<u8>, Vec<f32>) = match self.dtype {
            DType::F16 => (w.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(), Vec::new()),
            DType::I8 => {
                let q = w.iter().map(|v| (v * 127.0).round() as i8 as u8).collect();
                (q, noise(n, 3).iter().map(|s| 0.01 + s.abs() * 0.01).collect())
            }
            _ => (bytes(&w).to_vec(), Vec::new()),
        };
        let host = HostTensor::new(self.dtype, n, k, &stored, bytes(&scales));
        let b = noise(n, 11);
        let mut g = Graph::new();
        let x = g.input("x", Rows::Tokens, k as u32);
        let r = self.residual.then(|| g.input("r", Rows::Tokens, n as u32));
        let weight = g.weight(&device.upload_matrix("w", &[host]).expect("an upload"));
        let bias = HostTensor::new(DType::F32, 1, n, bytes(&b), &[]);
        let bias = g.weight(&device.upload_vector("b", &[bias]).expect("an upload"));
        let y = matmul(&mut g, "y", x, weight, bias, self.activation, r);
        Recorded { list: g.finish(&[y]), x, r, w: host.to_f32(), b, xs: noise(m * k, 5), rs: noise(m * n, 13) }
    }

    /// Each element of y, with a bound on its rounding error.
    fn naive(&self, r: &Recorded) -> Vec<(f64, f64)> {
        let Layer { m, n, k, .. } = *self;
        let mut y = Vec::new();
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|t| f64::from(r.xs[i * k + t]) * f64::from(r.w[j * k + t]));
                let (mut sum, mut size) = (f64::from(r.b[j]), f64::from(r.b[j].abs()));
                terms.for_each(|t| {
                    sum += t;
                    size += t.abs();
                });
                let add = if self.residual { f64::from(r.rs[i * n + j]) } else { 0.0 };
                // A chain of k roundings. No activation here is steeper than twice the size of its argument, and each
                // approximation differs from its function by at most 1e-6 of its value or its argument.
                let steep = 2.0 * (1.0 + sum.abs());
                let value = activate(self.activation as u32, sum);
                let off = (k as f64 + 4.0) * EPS * size * steep + 1e-6 * (1.0 + sum.abs() + value.abs());
                y.push((value + add, off));
            }
        }
        y
    }
}

impl Recorded {
    /// The rows of y from `first` on.
    fn rows(&self, device: &Device, plan: &mut Plan, first: usize, count: usize) -> Vec<f32> {
        let k = self.x.cols as usize;
        let mut inputs = vec![(self.x.id, bytes(&self.xs[first * k..(first + count) * k]))];
        if let Some(r) = self.r {
            let n = r.cols as usize;
            inputs.push((r.id, bytes(&self.rs[first * n..(first + count) * n])));
        }
        run(device, plan, tokens(count), &inputs).remove(0)
    }
}

/// The activation with this id in f64.
fn activate(id: u32, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let gelu = |x: f64| x * normal(x);
    match id {
        0 => x,
        1 => gelu(x),
        2 => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        3 => x * sigmoid(1.702 * x),
        4 => gelu(x).clamp(-10.0, 10.0),
        5 => x.max(0.0),
        6 => x.max(0.0).powi(2),
        7 => x.clamp(0.0, 6.0),
        8 => x.max(0.01 * x),
        9 => x * sigmoid(x),
        10 => sigmoid(x),
        11 => x.tanh(),
        12 => x * x.exp().ln_1p().tanh(),
        13 => normal((x - 707_107e-6) / 0.282095),
        _ => panic!("no activation {id}"),
    }
}

/// The distribution function of the normal distribution, by Simpson's rule.
fn normal(x: f64) -> f64 {
    let end = x.clamp(-12.0, 12.0);
    let steps = 400;
    let h = end / f64::from(steps);
    let density = |t: f64| (-0.5 * t * t).exp();
    let inner: f64 = (1..steps).map(|i| density(f64::from(i) * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + (density(0.0) + inner + density(end)) * h / 3.0 / (2.0 * std::f64::consts::PI).sqrt()
}

fn close(what: &str, found: &[f32], expected: &[(f64, f64)]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, (e, off))) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() <= *off, "{what}: element {i} is {f}, expected {e} within {off:.1e}");
    }
}

#[test]
fn matmul_is_the_naive_loop() {
    let linear = |m, n, k| (m, n, k, 0);
    let mut layers = Vec::new();
    for (m, n, k, id) in [linear(13, 37, 19), linear(1, 2, 32), linear(70, 130, 33), linear(33, 64, 48), (7, 32, 32, 1)]
    {
        for dtype in [DType::F32, DType::F16, DType::I8] {
            for residual in [false, true] {
                let activation = Activation::ALL[id];
                layers.push(Layer { m, n, k, dtype, residual, activation });
            }
        }
    }
    // The grid has more than one of the largest tiles in both directions, and the sum over K is long.
    let large = Layer { m: 130, n: 260, k: 768, dtype: DType::F32, residual: true, activation: layers[0].activation };
    layers.push(large);
    for_each_device(|test| {
        let device = &*test.device;
        for layer in &layers {
            let recorded = layer.record(device);
            let expected = layer.naive(&recorded);
            for_each_plan(device, &recorded.list, tokens(layer.m), &cloze::ops::matmul::OP, |name, plan| {
                let Layer { m, n, k, dtype, residual, .. } = layer;
                let what = format!("{name} {m}x{n}x{k} {} residual {residual}", dtype.name());
                close(&what, &recorded.rows(device, plan, 0, *m), &expected);
            });
        }
    });
}

#[test]
fn every_activation_is_its_function() {
    for_each_device(|test| {
        let device = &*test.device;
        for activation in Activation::ALL {
            let layer = Layer { m: 5, n: 36, k: 20, dtype: DType::F32, residual: true, activation };
            let recorded = layer.record(device);
            let expected = layer.naive(&recorded);
            let mut plan = plan(device, &recorded.list, tokens(layer.m));
            close(&format!("{activation:?}"), &recorded.rows(device, &mut plan, 0, layer.m), &expected);
        }
    });
}

#[test]
fn matmul_has_the_same_bits_for_any_rows_and_any_variant_of_a_family() {
    for_each_device(|test| {
        let device = &*test.device;
        for (n, k) in [(37, 19), (6, 48), (96, 64)] {
            let activation = Activation::Gelu;
            let layer = Layer { m: 150, n, k, dtype: DType::F32, residual: true, activation };
            let recorded = layer.record(device);
            let mut whole: Option<Vec<f32>> = None;
            for_each_plan(device, &recorded.list, tokens(layer.m), &cloze::ops::matmul::OP, |name, plan| {
                let known = whole.get_or_insert_with(|| recorded.rows(device, plan, 0, layer.m));
                for (first, count) in [(0, 150), (0, 1), (7, 13), (60, 65), (149, 1)] {
                    let found = recorded.rows(device, plan, first, count);
                    assert!(found == known[first * n..(first + count) * n], "{name}: rows {first} + {count}, N {n}");
                }
            });
            let known = whole.expect("at least one plan");
            let mut small = plan(device, &recorded.list, tokens(9));
            assert!(recorded.rows(device, &mut small, 40, 9) == known[40 * n..49 * n], "a plan for less, N {n}");
        }
    });
}

// ---- attention

/// Attention over sequences of these lengths.
struct Heads {
    lengths: Vec<usize>,
    heads: usize,
    size: usize,
}

impl Heads {
    fn sizes(lengths: &[usize]) -> BatchSizes {
        let longest = lengths.iter().copied().max().unwrap_or(0) as u32;
        BatchSizes { tokens: lengths.iter().sum::<usize>() as u32, sequences: lengths.len() as u32, longest, picked: 0 }
    }

    fn record(&self) -> (CallList, Tensor, Tensor) {
        let mut g = Graph::new();
        let qkv = g.input("qkv", Rows::Tokens, (3 * self.heads * self.size) as u32);
        let bounds = g.input("bounds", Rows::Bounds, 1);
        let ctx = attention(&mut g, "ctx", qkv, bounds, self.heads as u32);
        (g.finish(&[ctx]), qkv, bounds)
    }

    /// q, k and v. Scores reach about ±30, so that the softmax is sharp in places.
    fn values(&self) -> Vec<f32> {
        let len = self.lengths.iter().sum::<usize>() * 3 * self.heads * self.size;
        noise(len, 21).iter().map(|v| v * 3.0).collect()
    }

    fn naive(&self, qkv: &[f32]) -> Vec<(f64, f64)> {
        let (d, hidden) = (self.size, self.heads * self.size);
        let at = |t: usize, part: usize, c: usize| f64::from(qkv[t * 3 * hidden + part * hidden + c]);
        let mut ctx = Vec::new();
        let mut first = 0;
        for &len in &self.lengths {
            for t in first..first + len {
                for c in 0..hidden {
                    let head = c / d * d;
                    let score = |u: usize| (0..d).map(|i| at(t, 0, head + i) * at(u, 1, head + i)).sum::<f64>();
                    let scores: Vec<f64> = (first..first + len).map(|u| score(u) / (d as f64).sqrt()).collect();
                    let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                    let e: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                    let sum: f64 = e.iter().sum();
                    let value: f64 = e.iter().zip(first..).map(|(e, u)| e * at(u, 2, c)).sum::<f64>() / sum;
                    // exp turns the absolute error of a score into a relative one: D roundings of products up to 9,
                    // twice (score and maximum), and the sum over the keys.
                    let off = 2.0 * (9.0 * d as f64).sqrt() * (d as f64 + 8.0) * EPS + (len as f64 + 8.0) * EPS;
                    ctx.push((value, off * 3.0));
                }
            }
            first += len;
        }
        ctx
    }
}

fn bounds(lengths: &[usize]) -> Vec<u32> {
    let mut bounds = vec![0];
    bounds.extend(lengths.iter().scan(0, |at, n| {
        *at += *n as u32;
        Some(*at)
    }));
    bounds
}

#[test]
fn attention_is_the_naive_loop_and_a_sequence_has_the_same_bits_alone() {
    for_each_device(|test| {
        let device = &*test.device;
        for size in [5, 8, 32, 64] {
            let heads = Heads { lengths: vec![7, 70, 1, 33, 130], heads: 3, size };
            let values = heads.values();
            let expected = heads.naive(&values);
            let (list, qkv, ends) = heads.record();
            let sizes = Heads::sizes(&heads.lengths);
            for_each_plan(device, &list, sizes, &cloze::ops::attention::OP, |name, plan| {
                let all = bounds(&heads.lengths);
                let inputs = [(qkv.id, bytes(&values)), (ends.id, bytemuck::cast_slice(&all))];
                let ctx = run(device, plan, sizes, &inputs).remove(0);
                close(&format!("{name}, D {size}"), &ctx, &expected);
                for (i, &len) in heads.lengths.iter().enumerate() {
                    let (first, hidden) = (all[i] as usize, 3 * size);
                    let alone = bounds(&[len]);
                    let part = &values[first * 3 * hidden..(first + len) * 3 * hidden];
                    let inputs = [(qkv.id, bytes(part)), (ends.id, bytemuck::cast_slice(&alone))];
                    let found = run(device, plan, Heads::sizes(&[len]), &inputs).remove(0);
                    assert!(found == ctx[first * hidden..(first + len) * hidden], "{name}, D {size}: sequence {i}");
                }
            });
        }
    });
}

#[test]
fn attention_stays_finite_where_scores_are_huge() {
    for_each_device(|test| {
        let device = &*test.device;
        for size in [5, 32, 64] {
            let heads = Heads { lengths: vec![20], heads: 2, size };
            let values: Vec<f32> = heads.values().iter().map(|v| v * 1e4).collect();
            let (list, qkv, ends) = heads.record();
            let sizes = Heads::sizes(&heads.lengths);
            for_each_plan(device, &list, sizes, &cloze::ops::attention::OP, |name, plan| {
                let all = bounds(&heads.lengths);
                let inputs = [(qkv.id, bytes(&values)), (ends.id, bytemuck::cast_slice(&all))];
                let ctx = run(device, plan, sizes, &inputs).remove(0);
                assert!(ctx.iter().all(|v| v.is_finite() && v.abs() <= 3.1e4), "{name}, D {size}");
            });
        }
    });
}

// ---- layer_norm

#[test]
fn layer_norm_is_the_naive_loop_and_a_row_has_the_same_bits_alone() {
    for_each_device(|test| {
        let device = &*test.device;
        for cols in [1, 30, 37, 64, 384] {
            let (rows, eps) = (21, 1e-5_f32);
            let vector = |seed| noise(cols, seed);
            let (gamma, beta) = (vector(1), vector(2));
            let x: Vec<f32> = noise(rows * cols, 9).iter().map(|v| v * 2.0 + 1.0).collect();
            let mut g = Graph::new();
            let input = g.input("x", Rows::Tokens, cols as u32);
            let [scale, shift] = [("gamma", &gamma), ("beta", &beta)].map(|(name, v)| {
                let host = HostTensor::new(DType::F32, 1, cols, bytes(v), &[]);
                g.weight(&device.upload_vector(name, &[host]).expect("an upload"))
            });
            let y = layer_norm(&mut g, "y", input, scale, shift, eps);
            let list = g.finish(&[y]);
            let mut expected = Vec::new();
            for row in x.chunks_exact(cols) {
                let n = cols as f64;
                let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
                let var = row.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
                let scale = 1.0 / (var + f64::from(eps)).sqrt();
                for (c, v) in row.iter().enumerate() {
                    let (gamma, beta) = (f64::from(gamma[c]), f64::from(beta[c]));
                    // The mean has an error of C roundings of numbers up to 3; the deviation has as many, relatively.
                    let off = (n + 8.0) * EPS * (3.0 * scale + 4.0);
                    expected.push(((f64::from(*v) - mean) * scale * gamma + beta, off));
                }
            }
            for_each_plan(device, &list, tokens(rows), &cloze::ops::layer_norm::OP, |name, plan| {
                let whole = run(device, plan, tokens(rows), &[(input.id, bytes(&x))]).remove(0);
                close(&format!("{name}, {cols} columns"), &whole, &expected);
                for (first, count) in [(0, 1), (5, 9), (20, 1)] {
                    let part = bytes(&x[first * cols..(first + count) * cols]);
                    let found = run(device, plan, tokens(count), &[(input.id, part)]).remove(0);
                    assert!(found == whole[first * cols..(first + count) * cols], "{name}: rows {first} + {count}");
                }
            });
        }
    });
}

// ---- the table

#[test]
fn every_op_has_a_variant_for_every_family_and_names_are_unique() {
    let mut names = BTreeSet::new();
    for (op, variant) in OPS.iter().flat_map(|op| op.variants.iter().map(move |v| (op, v))) {
        // The kernels of a gradient are the cores of its op, with other pieces.
        let shared = op.name.ends_with("_backward") && !variant.name.starts_with(op.name);
        assert!(names.insert(variant.name) || shared, "{} twice", variant.name);
    }
    for_each_gpu(|_, gpu| {
        for op in OPS {
            // A kernel without barriers and tiles is the same for both families.
            let own = op.variants.len() == 1 || op.variants.iter().any(|v| v.family == gpu.family());
            assert!(own, "{} on {}", op.name, gpu.family().name());
        }
    });
}
