//! One encoder layer: self-attention and feed-forward, each with its residual and LayerNorm. About seven dispatches.

#[cfg(feature = "train")]
use super::low_rank::LowRank;
use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::ops::attention::attention;
use crate::ops::layer_norm::layer_norm;
use crate::ops::matmul::matmul;

/// A weight and its bias, or a LayerNorm's gain and offset.
#[derive(Debug)]
pub(super) struct Pair {
    pub weight: Weight,
    pub bias: Weight,
    /// What an adapter adds to a weight in 8 bits.
    #[cfg(feature = "train")]
    low_rank: Option<LowRank>,
}

impl Pair {
    pub fn new(weight: Weight, bias: Weight) -> Self {
        Self {
            weight,
            bias,
            #[cfg(feature = "train")]
            low_rank: None,
        }
    }

    /// A linear layer's; the parts are stacked along its outputs.
    pub fn linear(checkpoint: &Checkpoint, device: &Device, name: &str, parts: &[&str]) -> Result<Self> {
        let get = |kind: &str| parts.iter().map(|p| checkpoint.get(&format!("{p}.{kind}"))).collect::<Result<Vec<_>>>();
        let weight = device.upload_matrix(&format!("{name}.weight"), &get("weight")?)?;
        let pair = Self::new(weight, device.upload_vector(&format!("{name}.bias"), &get("bias")?)?);
        #[cfg(feature = "train")]
        let pair = Self { low_rank: LowRank::load(checkpoint, device, name, parts)?, ..pair };
        Ok(pair)
    }

    /// A LayerNorm's.
    pub fn norm(checkpoint: &Checkpoint, device: &Device, name: &str) -> Result<Self> {
        let vector = |kind: &str| {
            let full = format!("{name}.{kind}");
            device.upload_vector(&full, &[checkpoint.get(&full)?])
        };
        Ok(Self::new(vector("weight")?, vector("bias")?))
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        let own = [&self.weight, &self.bias].into_iter();
        #[cfg(feature = "train")]
        let own = own.chain(self.low_rank.iter().flat_map(LowRank::weights));
        own
    }

    /// Records `act(x Wᵀ + b) + residual`.
    pub fn apply(&self, g: &mut Graph, name: &str, x: Tensor, act: Activation, residual: Option<Tensor>) -> Tensor {
        #[cfg(feature = "train")]
        if let Some(low_rank) = &self.low_rank {
            return low_rank.apply(g, name, self, x, act, residual);
        }
        let (w, b) = (g.weight(&self.weight), g.weight(&self.bias));
        matmul(g, name, x, w, b, act, residual)
    }

    /// Records the normalisation.
    pub fn normalize(&self, g: &mut Graph, name: &str, x: Tensor, eps: f32) -> Tensor {
        let (gamma, beta) = (g.weight(&self.weight), g.weight(&self.bias));
        layer_norm(g, name, x, gamma, beta, eps)
    }
}

/// A layer's parameters on a device.
#[derive(Debug)]
pub(super) struct Layer {
    qkv: Pair,
    out: Pair,
    attention_norm: Pair,
    up: Pair,
    down: Pair,
    norm: Pair,
}

impl Layer {
    pub fn load(checkpoint: &Checkpoint, device: &Device, index: usize) -> Result<Self> {
        let at = |name: &str| format!("bert.encoder.layer.{index}.{name}");
        let [q, k, v] = ["query", "key", "value"].map(|n| at(&format!("attention.self.{n}")));
        let linear = |name: &str| Pair::linear(checkpoint, device, &at(name), &[&at(name)]);
        Ok(Self {
            qkv: Pair::linear(checkpoint, device, &at("attention.self.qkv"), &[&q, &k, &v])?,
            out: linear("attention.output.dense")?,
            attention_norm: Pair::norm(checkpoint, device, &at("attention.output.LayerNorm"))?,
            up: linear("intermediate.dense")?,
            down: linear("output.dense")?,
            norm: Pair::norm(checkpoint, device, &at("output.LayerNorm"))?,
        })
    }

    fn pairs(&self) -> [&Pair; 6] {
        [&self.qkv, &self.out, &self.attention_norm, &self.up, &self.down, &self.norm]
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.pairs().into_iter().flat_map(Pair::weights)
    }

    /// Records the layer on `x [T, H]`; activations are named `layer.{index}.…`.
    pub fn record(&self, g: &mut Graph, index: usize, x: Tensor, bounds: Tensor, shape: &Shape) -> Tensor {
        let name = |n: &str| format!("layer.{index}.{n}");
        let qkv = self.qkv.apply(g, &name("qkv"), x, Activation::Linear, None);
        let context = attention(g, &name("context"), qkv, bounds, shape.heads);
        let sum = self.out.apply(g, &name("attention_sum"), context, Activation::Linear, Some(x));
        let attended = self.attention_norm.normalize(g, &name("attention_output"), sum, shape.eps);
        let up = self.up.apply(g, &name("up"), attended, shape.activation, None);
        let sum = self.down.apply(g, &name("down_sum"), up, Activation::Linear, Some(attended));
        self.norm.normalize(g, &name("output"), sum, shape.eps)
    }
}

/// What a layer needs of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub heads: u32,
    pub eps: f32,
    pub activation: Activation,
}
