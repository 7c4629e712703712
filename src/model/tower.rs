//! The modules of sentence-transformers on top of the encoder: a list, in which each reads the result of the one
//! before.

use super::bert::{Output, Recorded};
use super::parameters::{LayerNorm, Linear};
use crate::activation::Activation;
use crate::checkpoint::module::ModuleWeights;
use crate::device::{Device, Weight};
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::ops::pool::pool;
use crate::ops::unit_rows::unit_rows;
use crate::pooling::Pooling;
use crate::sentence::{Dense, Module};
use crate::tensor::{DType, HostTensor};

/// A module with its weights, if it has any.
pub type Stacked = (Module, Option<ModuleWeights>);

/// PyTorch's default, which the module cannot change.
const EPS: f32 = 1e-5;

/// The modules' parameters on a device.
#[derive(Debug)]
pub(super) struct Tower(Vec<Step>);

#[derive(Debug)]
enum Step {
    Pool { poolings: Vec<Pooling>, skips: bool },
    Dense(Linear, Activation),
    Norm(LayerNorm),
    Normalize,
}

impl Tower {
    /// Uploads `modules`. The first one reads vectors of `hidden` numbers.
    pub fn load(modules: &[Stacked], hidden: usize, device: &Device) -> Result<Self> {
        let mut width = hidden;
        let mut steps = Vec::with_capacity(modules.len());
        for (module, weights) in modules {
            let weights = || weights.as_ref().ok_or_else(|| missing(module.dir().unwrap_or_default()));
            let fits = |dir: &str, cols: usize| if cols == width { Ok(()) } else { Err(misfit(dir, cols, width)) };
            steps.push(match module {
                Module::Pool { poolings, with_prompt } => {
                    width *= poolings.len();
                    Step::Pool { poolings: poolings.clone(), skips: !with_prompt }
                }
                Module::Dense(dense) => {
                    fits(&dense.dir, dense.cols)?;
                    width = dense.rows;
                    Step::Dense(linear(dense, weights()?, device)?, dense.activation)
                }
                Module::Norm { dir, cols } => {
                    fits(dir, *cols)?;
                    let [gain, offset] = weights()?.exactly([("norm.weight", &[*cols]), ("norm.bias", &[*cols])])?;
                    let upload = |kind: &str, tensor| device.upload_vector(&format!("{dir}.{kind}"), &[tensor]);
                    Step::Norm(LayerNorm { gain: upload("weight", gain)?, offset: upload("bias", offset)? })
                }
                Module::Normalize => Step::Normalize,
            });
        }
        Ok(Self(steps))
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        let dense =
            self.0.iter().filter_map(|step| if let Step::Dense(linear, _) = step { Some(linear) } else { None });
        let norms = self.0.iter().filter_map(|step| if let Step::Norm(norm) = step { Some(norm) } else { None });
        dense.flat_map(Linear::weights).chain(norms.flat_map(LayerNorm::weights))
    }

    pub fn skips(&self) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Pool { skips: true, .. }))
    }

    /// Records the modules on the pooler's vectors, or else on the hidden states. What they give for a sequence is its "embedding".
    /// `skipped` is the number of tokens of each sequence that pooling ignores.
    pub fn record(&self, g: &mut Graph, model: &Recorded, bounds: Tensor, skipped: Option<Tensor>) -> Output {
        let (mut name, mut x) = model.pooled.map_or(("hidden", model.hidden), |pooled| ("pooled", pooled));
        for step in &self.0 {
            x = match step {
                Step::Pool { poolings, skips } => {
                    name = "embedding";
                    pool(g, name, x, bounds, poolings, skipped.filter(|_| *skips))
                }
                Step::Dense(linear, activation) => linear.apply(g, name, x, *activation, None),
                Step::Norm(norm) => norm.apply(g, name, x, EPS),
                Step::Normalize => unit_rows(g, name, x),
            };
        }
        Output { name, parts: vec![x] }
    }
}

fn linear(dense: &Dense, weights: &ModuleWeights, device: &Device) -> Result<Linear> {
    let Dense { dir, rows, cols, .. } = dense;
    let zeros;
    let (weight, bias) = if dense.has_bias {
        let [weight, bias] = weights.exactly([("linear.weight", &[*rows, *cols]), ("linear.bias", &[*rows])])?;
        (weight, bias)
    } else {
        let [weight] = weights.exactly([("linear.weight", &[*rows, *cols])])?;
        // One for each row, so this memory is at most that of the file.
        zeros = vec![0; rows * 4];
        (weight, HostTensor::new(DType::F32, 1, *rows, &zeros, &[]))
    };
    let weight = device.upload_matrix(&format!("{dir}.weight"), &[weight])?;
    Ok(Linear::new(weight, device.upload_vector(&format!("{dir}.bias"), &[bias])?))
}

fn missing(dir: &str) -> Error {
    Error::Config {
        file: format!("{dir}/{}", ModuleWeights::FILE),
        problem: "it is missing, and modules.json names its module".into(),
        help: "Give the files that were saved with the model".into(),
    }
}

fn misfit(dir: &str, cols: usize, width: usize) -> Error {
    Error::Config {
        file: format!("{dir}/config.json"),
        problem: format!("the module reads {cols} numbers, and what comes before it gives {width}"),
        help: "Give the files that were saved with the model".into(),
    }
}
