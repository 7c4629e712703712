//! The parameters of a model that is trained, by the names that a checkpoint has for them.

use std::sync::Arc;

use super::lora::{Adapter, LoraOptions};
use super::nodes::Param;
use super::{Method, TrainOptions};
use crate::checkpoint::{Checkpoint, names};
use crate::device::cpu::train::random::mix;
use crate::device::{Device, State};
use crate::error::{Error, Result};

/// What a checkpoint has under one name: some rows of a parameter.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub name: String,
    pub first: usize,
    pub rows: usize,
}

/// A parameter, and what the optimizer keeps of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub param: Param,
    pub parts: Vec<Part>,
    /// The first and second moment, of trained parameters.
    pub moments: Option<[State; 2]>,
    pub decays: bool,
}

impl Entry {
    /// What training changes: the value and its two moments.
    pub fn trained(&self) -> Option<[&State; 3]> {
        self.moments.as_ref().map(|[m, v]| [&self.param.value, m, v])
    }
}

/// Every parameter on a device.
#[derive(Debug)]
pub(super) struct Params {
    pub device: Arc<Device>,
    pub entries: Vec<Entry>,
    /// Names that the checkpoint lacks: a new head's, which were seeded.
    pub seeded: Vec<String>,
}

impl Params {
    pub fn new(device: Arc<Device>) -> Self {
        Self { device, entries: Vec::new(), seeded: Vec::new() }
    }

    /// Loads one parameter from the tensors `names`, stacked along their rows, or their columns if they are vectors. What
    /// belongs to a head and is missing gets values from the seed.
    pub fn load(&mut self, checkpoint: &Checkpoint, names: &[String], options: &TrainOptions) -> Result<Param> {
        let mut values = Vec::new();
        let mut parts = Vec::new();
        let (mut rows, mut cols, mut is_vector) = (0, 0, false);
        for name in names {
            let Some(known) = names::param(checkpoint.config(), name) else {
                return Err(unknown(name));
            };
            // A vector's elements are its rows here; whoever reads it takes it as one row.
            let count = if known.is_vector { known.cols } else { known.rows };
            parts.push(Part { name: name.clone(), first: rows, rows: count });
            rows += count;
            cols = if known.is_vector { 1 } else { known.cols };
            is_vector = known.is_vector;
            if is_of_head(name) && !checkpoint.has(name) {
                let range = checkpoint.config().initializer_range as f32;
                values.extend(seeded(name, known.rows * known.cols, options.seed, range));
                self.seeded.push(name.clone());
            } else {
                values.extend(checkpoint.get(name)?.to_f32());
            }
        }
        let first = names.first().map_or("", String::as_str);
        let trained = trains(first, options);
        let (rows, cols) = if is_vector { (1, rows) } else { (rows, cols) };
        let decays = !first.ends_with(".bias") && !first.contains("LayerNorm");
        self.add(parts, (rows, cols), &values, trained, decays)
    }

    fn add(
        &mut self,
        parts: Vec<Part>,
        (rows, cols): (usize, usize),
        values: &[f32],
        trained: bool,
        decays: bool,
    ) -> Result<Param> {
        let name = parts.first().map_or("", |part| part.name.as_str());
        let state = |kind: &str| self.device.state(&format!("{kind}{name}"), rows, cols);
        let value = state("")?;
        self.device.write_state(&value, values);
        let gradient = trained.then(|| state("d_")).transpose()?;
        let moments = if trained { Some([state("m_")?, state("v_")?]) } else { None };
        let param = Param { value, gradient };
        self.entries.push(Entry { param: param.clone(), parts, moments, decays });
        Ok(param)
    }

    /// An adapter of `module`, whose weight is `[n, k]`: A from the seed, B zero, as PEFT begins. It is the `index`th of the
    /// layer's linear layers, and its outputs are those from `first` on.
    pub fn adapter(
        &mut self,
        module: &str,
        [n, k]: [usize; 2],
        first: u32,
        site: u32,
        (lora, seed): (&LoraOptions, u64),
    ) -> Result<Adapter> {
        let r = lora.r;
        let [a, b] = [("A", r, k), ("B", n, r)].map(|(which, rows, cols)| {
            let name = format!("{module}.lora_{which}.weight");
            // PyTorch's Kaiming-uniform values with a gain of sqrt(5) are within this.
            let bound = if which == "A" { 1.0 / (k as f32).sqrt() } else { 0.0 };
            let values = uniform(&name, rows * cols, seed, bound);
            let parts = vec![Part { name, first: 0, rows }];
            self.add(parts, (rows, cols), &values, true, true)
        });
        Ok(Adapter { a: a?, b: b?, first, scale: lora.alpha / r as f32, site })
    }

    /// The state that holds `name`, and where.
    pub fn find(&self, name: &str) -> Result<(&Entry, &Part)> {
        let all = self.entries.iter().flat_map(|e| e.parts.iter().map(move |p| (e, p)));
        all.into_iter().find(|(_, part)| part.name == name).ok_or_else(|| unknown(name))
    }

    /// The rows of `state` that are `part`.
    pub async fn read(&self, state: &State, part: &Part, is_vector: bool) -> Result<Vec<f32>> {
        let all = self.device.read_state(state).await?;
        let width = if is_vector { 1 } else { state.cols() };
        Ok(all[part.first * width..(part.first + part.rows) * width].to_vec())
    }
}

fn unknown(name: &str) -> Error {
    Error::Input {
        problem: format!("{} is no tensor of this model", crate::error::clip(name)),
        mend: "Ask for one that checkpoint::names lists".into(),
    }
}

/// Whether a tensor belongs to a head, the pooler included.
fn is_of_head(name: &str) -> bool {
    !name.starts_with("bert.") || name.starts_with("bert.pooler.")
}

/// Whether a tensor is trained.
pub(super) fn trains(name: &str, options: &TrainOptions) -> bool {
    if is_of_head(name) {
        return true;
    }
    let layer = name.strip_prefix("bert.encoder.layer.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    let frozen = match layer {
        Some(layer) => layer < options.freeze_layers,
        None => options.freeze_embeddings,
    };
    !frozen
        && match options.method {
            Method::Full => true,
            Method::BitFit => name.ends_with(".bias"),
            Method::Head | Method::Lora(_) => false,
        }
}

/// Values of a new parameter: LayerNorm's gain 1, vectors 0, matrices normal with the deviation `range`.
fn seeded(name: &str, len: usize, seed: u64, range: f32) -> Vec<f32> {
    if name.ends_with("LayerNorm.weight") {
        return vec![1.0; len];
    }
    if name.ends_with("bias") {
        return vec![0.0; len];
    }
    let uniform = units(name, seed);
    // Two of them, the first not zero, make a normal number (Box and Muller).
    (0..len as u32)
        .map(|i| {
            let (u, v) = (uniform(2 * i), uniform(2 * i + 1));
            ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32 * range
        })
        .collect()
}

/// Values of an adapter's matrix: uniform from `-bound` to `bound`.
fn uniform(name: &str, len: usize, seed: u64, bound: f32) -> Vec<f32> {
    let unit = units(name, seed);
    (0..len as u32).map(|i| (2.0 * unit(i) - 1.0) as f32 * bound).collect()
}

/// Uniform numbers above 0 and up to 1, by their index: each name has a stream of its own.
fn units(name: &str, seed: u64) -> impl Fn(u32) -> f64 {
    let mut key = mix(seed as u32 ^ mix((seed >> 32) as u32));
    for byte in name.bytes() {
        key = mix(key ^ u32::from(byte));
    }
    move |i| (f64::from(mix(mix(i.wrapping_add(key)) ^ key)) + 1.0) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_freezing_choose_what_is_trained() {
        let options = |method, layers, embeddings| TrainOptions {
            method,
            freeze_layers: layers,
            freeze_embeddings: embeddings,
            ..TrainOptions::default()
        };
        let weight = "bert.encoder.layer.1.output.dense.weight";
        let bias = "bert.encoder.layer.1.output.LayerNorm.bias";
        let table = "bert.embeddings.word_embeddings.weight";
        for (options, expected) in [
            (options(Method::Full, 0, false), [true, true, true]),
            (options(Method::Full, 1, true), [true, true, false]),
            (options(Method::Full, 2, true), [false, false, false]),
            (options(Method::BitFit, 0, false), [false, true, false]),
            (options(Method::Head, 0, false), [false, false, false]),
        ] {
            assert_eq!([weight, bias, table].map(|name| trains(name, &options)), expected, "{options:?}");
            assert!(trains("classifier.weight", &options) && trains("bert.pooler.dense.bias", &options));
        }
    }

    #[test]
    fn adapters_begin_as_pefts() {
        let values = uniform("query.lora_A.weight", 10_000, 7, 0.5);
        let mean = values.iter().sum::<f32>() / 1e4;
        let square = values.iter().map(|v| v * v).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.01 && (square - 0.25 / 3.0).abs() < 2e-3, "{mean} {square}");
        assert!(values.iter().all(|v| v.abs() <= 0.5));
        assert_ne!(values, uniform("value.lora_A.weight", 10_000, 7, 0.5));
        assert!(uniform("query.lora_B.weight", 9, 7, 0.0).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn seeded_values_are_normal_and_the_seeds_own() {
        let values = seeded("classifier.weight", 10_000, 7, 0.02);
        let mean = values.iter().sum::<f32>() / 1e4;
        let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / 1e4).sqrt();
        assert!(mean.abs() < 1e-3 && (deviation - 0.02).abs() < 1e-3, "{mean} {deviation}");
        assert_eq!(values, seeded("classifier.weight", 10_000, 7, 0.02));
        assert_ne!(values, seeded("classifier.weight", 10_000, 8, 0.02));
        assert_ne!(values, seeded("qa_outputs.weight", 10_000, 7, 0.02));
    }
}
