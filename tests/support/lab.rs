//! Computations whose gradients are compared with finite differences.

use cloze::block_on;
use cloze::device::{BatchSizes, Cancel, Device, Rows};
use cloze::graph::Tensor;
use cloze::ops::cross_entropy::Loss;
use cloze::ops::dropout::Dropout;
use cloze::ops::scatter::sorted;
use cloze::tensor::{DType, HostTensor};
use cloze::train::nodes::{Backward, Param, Sorted, Trained};
use cloze::train::tape::Tape;
use half::f16;

use super::devices::for_each_device;
use crate::devices::kernels::noise;

/// Lengths of sequences: one has a single token, and one is longer than a tile of keys.
pub const LENGTHS: [u32; 5] = [7, 1, 20, 3, 6];

pub fn sizes() -> BatchSizes {
    BatchSizes { tokens: LENGTHS.iter().sum(), sequences: LENGTHS.len() as u32, longest: 20, picked: 9 }
}

pub fn bounds() -> Vec<u32> {
    ends(&LENGTHS)
}

/// The bounds of sequences of these lengths.
pub fn ends(lengths: &[u32]) -> Vec<u32> {
    let mut bounds = vec![0];
    bounds.extend(lengths.iter().scan(0, |at, n| {
        *at += n;
        Some(*at)
    }));
    bounds
}

/// A computation whose gradients are checked.
pub struct Lab<'a> {
    device: &'a Device,
    pub tape: Tape,
    /// Every input with its values.
    inputs: Vec<(Tensor, Vec<f32>)>,
    /// The inputs whose gradients are checked.
    wanted: Vec<usize>,
    /// The trained parameters, with their values.
    params: Vec<(Trained, Vec<f32>)>,
}

/// The results of a computation: the loss, and the gradient of each wanted tensor.
pub type Gradients = Vec<(String, Vec<f32>)>;

impl<'a> Lab<'a> {
    pub fn new(device: &'a Device) -> Self {
        Self { device, tape: Tape::new(), inputs: Vec::new(), wanted: Vec::new(), params: Vec::new() }
    }

    pub fn input(&mut self, rows: Rows, cols: u32, values: Vec<f32>) -> Tensor {
        let x = self.tape.graph().input(&format!("input {}", self.inputs.len()), rows, cols);
        assert_eq!(values.len(), (rows.resolve(sizes()) * cols) as usize);
        self.inputs.push((x, values));
        x
    }

    /// An input of noise, with a gradient.
    pub fn x(&mut self, rows: Rows, cols: u32) -> Tensor {
        let seed = 17 * self.inputs.len() as u32 + 3;
        let x = self.input(rows, cols, noise((rows.resolve(sizes()) * cols) as usize, seed));
        self.wanted.push(self.inputs.len() - 1);
        self.tape.want(x);
        x
    }

    pub fn words(&mut self, rows: Rows, cols: u32, words: &[u32]) -> Tensor {
        self.input(rows, cols, words.iter().map(|w| f32::from_bits(*w)).collect())
    }

    pub fn bounds(&mut self) -> Tensor {
        self.words(Rows::Bounds, 1, &bounds())
    }

    pub fn sorted(&mut self, rows: Rows, targets: &[u32]) -> Sorted {
        let (order, segments) = sorted(targets);
        Sorted { order: self.words(rows, 1, &order), segments: self.words(rows, 3, segments.as_flattened()) }
    }

    /// A trained parameter of noise.
    pub fn param(&mut self, rows: usize, cols: usize) -> Param {
        let name = format!("param {}", self.params.len());
        let value = self.device.state(&name, rows, cols).expect("it fits");
        let gradient = self.device.state(&format!("d_{name}"), rows, cols).expect("it fits");
        let values = noise(rows * cols, 29 * self.params.len() as u32 + 7);
        let param = Trained { value, gradient };
        self.params.push((param.clone(), values));
        Param::Trained(param)
    }

    /// A frozen matrix of noise.
    pub fn frozen(&self, dtype: DType, n: usize, k: usize) -> Param {
        let values = noise(n * k, 61);
        let bytes = |transposed: bool| -> Vec<u8> {
            let all = (0..n * k).map(|i| if transposed { values[i % n * k + i / n] } else { values[i] });
            match dtype {
                DType::F16 => all.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect(),
                DType::I8 => all.map(|v| (v * 127.0) as i8 as u8).collect(),
                _ => all.flat_map(f32::to_le_bytes).collect(),
            }
        };
        let is_i8 = dtype == DType::I8;
        let scales: Vec<u8> = (0..n).flat_map(|row| (0.002 + 1e-4 * row as f32).to_le_bytes()).collect();
        let ones = 1_f32.to_le_bytes().repeat(k);
        let matrix = |rows, cols, bytes: &[u8], scales: &[u8]| {
            let tensor = HostTensor::new(dtype, rows, cols, bytes, if is_i8 { scales } else { &[] });
            self.device.upload_matrix("frozen", &[tensor]).expect("it fits")
        };
        let vector = HostTensor::new(DType::F32, 1, n, &scales, &[]);
        let backward = Backward {
            transposed: matrix(k, n, &bytes(true), &ones),
            scales: is_i8.then(|| self.device.upload_vector("scales", &[vector]).expect("it fits")),
        };
        Param::Frozen { value: matrix(n, k, &bytes(false), &scales), backward: Some(backward) }
    }

    pub fn dropout(&mut self, p: f32) -> Dropout {
        let control = self.words(Rows::Fixed(1), 4, &[12345, 0, 0, 0]);
        Dropout { control, site: 5, p }
    }

    /// Checks gradients. The loss is the sum of y times noise.
    pub fn check(mut self, what: &str, y: Tensor) -> Gradients {
        let weights = noise((y.rows.resolve(sizes()) * y.cols) as usize, 99);
        let seed = self.input(y.rows, y.cols, weights.clone());
        self.tape.give(y, seed);
        self.differences(what, y, Some(weights))
    }

    /// Checks gradients. The loss is the sum of all rows of a loss.
    pub fn check_loss(mut self, what: &str, logits: Tensor, loss: Loss) -> Gradients {
        self.tape.give(logits, loss.d_logits);
        self.differences(what, loss.loss, None)
    }

    fn differences(mut self, what: &str, y: Tensor, weights: Option<Vec<f32>>) -> Gradients {
        self.tape.backward();
        let wanted: Vec<Tensor> = self.wanted.iter().map(|i| self.inputs[*i].0).collect();
        let mut outputs = vec![y];
        outputs.extend(wanted.iter().map(|x| self.tape.gradient(*x).expect("a gradient")));
        let list = self.tape.into_graph().finish(&outputs);
        let mut plan = block_on(self.device.plan(&list, sizes())).expect("a plan");
        for (param, values) in &self.params {
            self.device.write_state(&param.value, values);
        }
        let mut run = |inputs: &[(Tensor, Vec<f32>)]| {
            let inputs: Vec<_> = inputs.iter().map(|(x, v)| (x.id, bytemuck::cast_slice(v))).collect();
            block_on(self.device.run(&mut plan, sizes(), &inputs, &Cancel::new())).expect("a run")
        };
        let sum = |y: &[f32]| -> f64 {
            match &weights {
                Some(weights) => y.iter().zip(weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum(),
                None => y.iter().map(|y| f64::from(*y)).sum(),
            }
        };
        let found = run(&self.inputs);
        let mut gradients = vec![("y".to_string(), found[0].clone())];
        gradients.extend(self.wanted.iter().zip(&found[1..]).map(|(i, g)| (format!("input {i}"), g.clone())));
        for (param, _) in &self.params {
            let values = block_on(self.device.read_state(&param.gradient)).expect("it reads");
            gradients.push((param.value.name().into(), values));
        }
        // Along one direction for each tensor; on the CPU also along some single elements.
        let elements = if self.device.kind() == "cpu" { 12 } else { 0 };
        for (at, (name, gradient)) in gradients.iter().enumerate().skip(1) {
            for probe in 0..=elements {
                let n = gradient.len();
                let mut direction = vec![0.0; n];
                match probe {
                    0 => direction = noise(n, 1000 + at as u32),
                    // Spread over the tensor, with its corners.
                    i => direction[(i - 1) * (n - 1) / (elements - 1).max(1)] = 1.0,
                }
                let step = 4e-3;
                let mut along = |sign: f32| {
                    let moved = |v: &[f32]| -> Vec<f32> {
                        v.iter().zip(&direction).map(|(v, d)| v + sign * step * d).collect()
                    };
                    if at <= self.wanted.len() {
                        let mut inputs = self.inputs.clone();
                        let x = &mut inputs[self.wanted[at - 1]];
                        x.1 = moved(&x.1);
                        sum(&run(&inputs)[0])
                    } else {
                        let (param, values) = &self.params[at - 1 - self.wanted.len()];
                        self.device.write_state(&param.value, &moved(values));
                        let y = sum(&run(&self.inputs)[0]);
                        self.device.write_state(&param.value, values);
                        y
                    }
                };
                let expected = (along(1.0) - along(-1.0)) / (2.0 * f64::from(step));
                let pairs = gradient.iter().zip(&direction);
                let known: f64 = pairs.clone().map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                // The error of the differences themselves: f32's rounding of y divided by the step, and the third
                // derivative.
                let size: f64 = pairs.map(|(g, d)| (f64::from(*g) * f64::from(*d)).powi(2)).sum::<f64>().sqrt();
                let off = 2e-3 * (size + known.abs()) + 2e-3;
                assert!(
                    (known - expected).abs() <= off,
                    "{what}, {name}, probe {probe} on {}: {known}, by differences {expected}, within {off:.1e}",
                    self.device.name()
                );
            }
        }
        gradients
    }
}

/// Runs a computation on every device and compares its gradients with the first CPU's, relative to the largest.
pub fn everywhere(what: &str, run: impl Fn(Lab<'_>) -> Gradients) {
    let mut known: Option<Gradients> = None;
    for_each_device(|test| {
        let found = run(Lab::new(&test.device));
        let known = known.get_or_insert_with(|| found.clone());
        for ((name, known), (_, found)) in known.iter().zip(&found) {
            let largest = known.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            for (i, (k, f)) in known.iter().zip(found).enumerate() {
                let off = 2e-5 * largest + 1e-6;
                assert!((k - f).abs() <= off, "{what}, {name}[{i}] on {}: {f}, on the CPU {k}", test.name);
            }
            // The bits must be the same for any number of threads.
            assert!(!test.name.starts_with("cpu") || known == found, "{what}, {name} on {}", test.name);
        }
    });
}
