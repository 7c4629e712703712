//! The parameters of a model in training, by their names in checkpoints.

use std::sync::Arc;

use crate::checkpoint::adapter::Lora;
use crate::checkpoint::{Checkpoint, names};
use crate::device::{Device, PersistentTensor};
use crate::error::{Error, Result};
use crate::train::autodiff::nodes::{Param, Trained};
use crate::train::parameters::lora::Adapter;
use crate::train::{Method, TrainOptions, parameters::frozen, parameters::seed, parameters::unknown};

/// A tensor of a checkpoint: some rows of a parameter.
#[derive(Clone, Debug)]
pub(in crate::train) struct Part {
    pub name: String,
    pub first: usize,
    pub rows: usize,
}

impl Part {
    /// Its range among the values of the state that holds it.
    fn range(&self, state: &PersistentTensor) -> std::ops::Range<usize> {
        let is_vector = self.name.ends_with("bias") || self.name.contains("LayerNorm");
        let width = if is_vector { 1 } else { state.cols() };
        self.first * width..(self.first + self.rows) * width
    }
}

/// A trained parameter and the optimizer's moments, all of one shape.
#[derive(Debug)]
pub(in crate::train) struct Entry {
    pub param: Trained,
    /// The first and the second moment.
    pub moments: [PersistentTensor; 2],
    pub parts: Vec<Part>,
    pub decays: bool,
}

impl Entry {
    /// The states that training changes: the value and its two moments.
    pub fn trained(&self) -> [&PersistentTensor; 3] {
        let [m, v] = &self.moments;
        [&self.param.value, m, v]
    }
}

/// The parameters of a model, in the order in which the computation uses them.
#[derive(Debug)]
pub(in crate::train) struct Params {
    pub device: Arc<Device>,
    /// The trained parameters.
    pub entries: Vec<Entry>,
    /// The tensors of a new head, which the checkpoint lacks. They got values from the seed.
    pub seeded: Vec<String>,
}

impl Params {
    pub fn new(device: Arc<Device>) -> Self {
        Self { device, entries: Vec::new(), seeded: Vec::new() }
    }

    /// Loads one parameter from the tensors `names`, stacked along their rows, or along their columns if they are
    /// vectors. Missing tensors of a head get values from the seed. A parameter that is not trained keeps its stored
    /// type.
    pub fn load(&mut self, checkpoint: &Checkpoint, names: &[String], options: &TrainOptions) -> Result<Param> {
        let first = names.first().map_or("", String::as_str);
        if !trains(first, options) {
            // The gradient of its input is needed if something before it is trained.
            return frozen::load(&self.device, checkpoint, names, !self.entries.is_empty());
        }
        let mut values = Vec::new();
        let mut parts = Vec::new();
        let (mut rows, mut cols, mut is_vector) = (0, 0, false);
        for name in names {
            let Some(known) = names::param(checkpoint.config(), name) else {
                return Err(unknown(name));
            };
            // Here the rows of a vector are its elements. The ops use it as one row.
            let count = if known.is_vector { known.cols } else { known.rows };
            parts.push(Part { name: name.clone(), first: rows, rows: count });
            rows += count;
            cols = if known.is_vector { 1 } else { known.cols };
            is_vector = known.is_vector;
            if is_of_head(name) && !checkpoint.has(name) {
                let range = checkpoint.config().initializer_range as f32;
                values.extend(seed::normal(name, known.rows * known.cols, options.seed, range));
                self.seeded.push(name.clone());
            } else {
                values.extend(checkpoint.get(name)?.to_f32());
            }
        }
        let shape = if is_vector { (1, rows) } else { (rows, cols) };
        self.train(parts, shape, &values).map(Param::Trained)
    }

    /// An adapter of `module`, whose weight is `[n, k]` and whose outputs begin at `first` in a fused layer. A gets
    /// values from the seed and B is zero, as in PEFT. `site` is the place of its dropout.
    pub fn adapter(
        &mut self,
        module: &str,
        [n, k]: [usize; 2],
        [first, site]: [u32; 2],
        (lora, seed): (&Lora, u64),
    ) -> Result<Adapter> {
        let r = lora.r;
        let [a, b] = [("A", r, k), ("B", n, r)].map(|(which, rows, cols)| {
            let name = format!("{module}.lora_{which}.weight");
            // PyTorch's Kaiming-uniform initialization with a gain of sqrt(5) has this bound.
            let bound = if which == "A" { 1.0 / (k as f32).sqrt() } else { 0.0 };
            let values = seed::uniform(&name, rows * cols, seed, bound);
            self.train(vec![Part { name, first: 0, rows }], (rows, cols), &values)
        });
        Ok(Adapter { a: a?, b: b?, first, scale: lora.scale(), site })
    }

    /// Adds a trained parameter `[rows, cols]`.
    fn train(&mut self, parts: Vec<Part>, (rows, cols): (usize, usize), values: &[f32]) -> Result<Trained> {
        let name = parts.first().map_or("", |part| part.name.as_str());
        let decays = !name.ends_with(".bias") && !name.contains("LayerNorm");
        let state = |kind: &str| self.device.state(&format!("{kind}{name}"), rows, cols);
        let (value, gradient, moments) = (state("")?, state("d_")?, [state("m_")?, state("v_")?]);
        self.device.write_state(&value, values);
        let param = Trained { value, gradient };
        self.entries.push(Entry { param: param.clone(), moments, parts, decays });
        Ok(param)
    }

    /// The trained parameter that holds `name`, and the part of it.
    pub fn find(&self, name: &str) -> Option<(&Entry, &Part)> {
        let all = self.entries.iter().flat_map(|e| e.parts.iter().map(move |p| (e, p)));
        all.into_iter().find(|(_, part)| part.name == name)
    }

    /// Reads the rows of `state` that belong to `part`.
    pub async fn read(&self, state: &PersistentTensor, part: &Part) -> Result<Vec<f32>> {
        Ok(self.device.read_state(state).await?[part.range(state)].to_vec())
    }

    /// Writes the rows of `state` that belong to `part`.
    pub async fn write(&self, state: &PersistentTensor, part: &Part, values: &[f32]) -> Result<()> {
        let mut all = self.device.read_state(state).await?;
        let to = &mut all[part.range(state)];
        if to.len() != values.len() {
            return Err(Error::Input {
                problem: format!("{} has {} values, not {}", part.name, to.len(), values.len()),
                help: "Give all values of the tensor".into(),
            });
        }
        to.copy_from_slice(values);
        self.device.write_state(state, &all);
        Ok(())
    }
}

/// Whether a tensor belongs to a head or to the pooler.
fn is_of_head(name: &str) -> bool {
    !name.starts_with("bert.") || name.starts_with("bert.pooler.")
}

/// Whether a tensor is trained.
pub(in crate::train) fn trains(name: &str, options: &TrainOptions) -> bool {
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
}
