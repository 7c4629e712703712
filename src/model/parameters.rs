//! The parameters of a model on a device, for inference: uploaded as they are stored, and recorded with few dispatches.

#[cfg(feature = "train")]
use super::low_rank::LowRank;
use super::recorder::{DropoutSite, Recorder, Source};
use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::ops::attention::attention;
use crate::ops::gather::gather;
use crate::ops::layer_norm::layer_norm;
use crate::ops::matmul::matmul;
use crate::ops::pool::pool;
use crate::pooling::Pooling;

/// A linear layer.
#[derive(Debug)]
pub(crate) struct Linear {
    /// `[N, K]`
    pub weight: Weight,
    /// `[N]`
    pub bias: Weight,
    /// What an adapter adds to a weight in 8 bits.
    #[cfg(feature = "train")]
    low_rank: Option<LowRank>,
}

/// A LayerNorm.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    /// `[H]`
    pub gain: Weight,
    /// `[H]`
    pub offset: Weight,
}

impl Linear {
    /// A layer without an adapter.
    pub fn new(weight: Weight, bias: Weight) -> Self {
        Self {
            weight,
            bias,
            #[cfg(feature = "train")]
            low_rank: None,
        }
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        let own = [&self.weight, &self.bias].into_iter();
        #[cfg(feature = "train")]
        let own = own.chain(self.low_rank.iter().flat_map(LowRank::weights));
        own
    }

    /// Records `activation(x Wᵀ + b) + residual`.
    pub fn apply(&self, g: &mut Graph, name: &str, x: Tensor, act: Activation, residual: Option<Tensor>) -> Tensor {
        let (w, b) = (g.weight(&self.weight), g.weight(&self.bias));
        #[cfg(feature = "train")]
        if let Some(low_rank) = &self.low_rank {
            return low_rank.apply(g, name, [w, b], x, act, residual);
        }
        matmul(g, name, x, w, b, act, residual)
    }
}

impl LayerNorm {
    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        [&self.gain, &self.offset].into_iter()
    }

    /// Records the LayerNorm of each row.
    pub fn apply(&self, g: &mut Graph, name: &str, x: Tensor, eps: f32) -> Tensor {
        let (gain, offset) = (g.weight(&self.gain), g.weight(&self.offset));
        layer_norm(g, name, x, gain, offset, eps)
    }
}

/// Uploads the parameters of a checkpoint. The checkpoint lets go of each layer once it is on the device.
pub(super) struct Upload<'a> {
    pub checkpoint: &'a mut Checkpoint,
    pub device: &'a Device,
}

impl Source<Graph> for Upload<'_> {
    fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    fn linear(&mut self, name: &str, parts: &[String]) -> Result<Linear> {
        let Self { checkpoint, device } = self;
        let get = |kind: &str| parts.iter().map(|p| checkpoint.get(&format!("{p}.{kind}"))).collect::<Result<Vec<_>>>();
        let weight = device.upload_matrix(&format!("{name}.weight"), &get("weight")?)?;
        let linear = Linear::new(weight, device.upload_vector(&format!("{name}.bias"), &get("bias")?)?);
        #[cfg(feature = "train")]
        let linear = Linear { low_rank: LowRank::load(checkpoint, device, name, parts)?, ..linear };
        Ok(linear)
    }

    fn layer_norm(&mut self, name: &str) -> Result<LayerNorm> {
        let vector = |kind: &str| {
            let full = format!("{name}.{kind}");
            self.device.upload_vector(&full, &[self.checkpoint.get(&full)?])
        };
        Ok(LayerNorm { gain: vector("weight")?, offset: vector("bias")? })
    }

    /// A table can be larger than a GPU binding. Then it is cut along the vocabulary, and the host joins the logits.
    fn decoder(&mut self, weight: &str, bias: &str) -> Result<Vec<Linear>> {
        let table = self.checkpoint.get(weight)?;
        let bias = self.checkpoint.get(bias)?.as_column();
        let most = self.device.max_matrix_rows(table.cols, table.dtype);
        let part = |first: usize| {
            let rows = first..table.rows.min(first + most);
            let name = |kind: &str| format!("cls.predictions.decoder.{kind}[{}..{}]", rows.start, rows.end);
            Ok(Linear::new(
                self.device.upload_matrix(&name("weight"), &[table.part(rows.clone())])?,
                self.device.upload_vector(&name("bias"), &[bias.part(rows.clone())])?,
            ))
        };
        (0..table.rows).step_by(most).map(part).collect()
    }

    fn layers<L>(&mut self, count: usize, mut load: impl FnMut(&mut Self, usize) -> Result<L>) -> Result<Vec<L>> {
        let mut layers: Vec<Option<L>> = (0..count).map(|_| None).collect();
        for index in self.checkpoint.layers_from_the_end() {
            layers[index] = Some(load(self, index)?);
            self.checkpoint.let_go_of_layer(index);
        }
        Ok(layers.into_iter().map(|layer| layer.expect("each layer was loaded")).collect())
    }
}

/// Nothing is dropped, and activations and residuals are part of the matmul before them.
impl Recorder for Graph {
    type Linear = Linear;
    type LayerNorm = LayerNorm;

    fn linear(&mut self, name: &str, x: Tensor, layer: &Linear, activation: Activation) -> Tensor {
        layer.apply(self, name, x, activation, None)
    }

    fn add_linear(&mut self, name: &str, x: Tensor, layer: &Linear, _: DropoutSite, residual: Tensor) -> Tensor {
        layer.apply(self, name, x, Activation::Linear, Some(residual))
    }

    fn layer_norm(&mut self, name: &str, x: Tensor, norm: &LayerNorm, eps: f32) -> Tensor {
        norm.apply(self, name, x, eps)
    }

    fn attention(&mut self, name: &str, qkv: Tensor, bounds: Tensor, heads: u32, _: DropoutSite) -> Tensor {
        attention(self, name, qkv, bounds, heads)
    }

    fn dropout(&mut self, _: &str, x: Tensor, _: DropoutSite) -> Tensor {
        x
    }

    fn gather(&mut self, name: &str, x: Tensor, picked: Tensor) -> Tensor {
        gather(self, name, x, picked)
    }

    fn first(&mut self, name: &str, x: Tensor, bounds: Tensor) -> Tensor {
        pool(self, name, x, bounds, &[Pooling::Cls], None)
    }
}
