//! The encoder: from the sum of embeddings to hidden states.

use super::layer::{Layer, Pair, Shape};
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Rows, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};

/// The encoder's parameters on a device.
#[derive(Debug)]
pub(super) struct Encoder {
    embeddings_norm: Pair,
    layers: Vec<Layer>,
    shape: Shape,
    hidden: u32,
}

/// The tensors that the host fills, and the encoder's result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded {
    /// The embedding sum `[T, H]`.
    pub embedded: Tensor,
    /// The first token of each sequence, then T: `[B + 1]`, u32.
    pub bounds: Tensor,
    /// The picked tokens `[P]`, u32.
    pub picked: Tensor,
    /// The number of tokens that pooling ignores at the start of each sequence, `[B]`, u32; `None` if it ignores none.
    pub skipped: Option<Tensor>,
    /// The last hidden state `[T, H]`.
    pub hidden: Tensor,
}

impl Encoder {
    /// Uploads the parameters. The checkpoint releases those of each layer when they are on the device.
    pub fn load(checkpoint: &mut Checkpoint, device: &Device) -> Result<Self> {
        let mut layers: Vec<Option<Layer>> = (0..checkpoint.config().num_hidden_layers).map(|_| None).collect();
        for index in checkpoint.layers_from_the_end() {
            layers[index] = Some(Layer::load(checkpoint, device, index)?);
            checkpoint.let_go_of_layer(index);
        }
        let layers = layers.into_iter().flatten().collect();
        let config = checkpoint.config();
        let embeddings_norm = Pair::norm(checkpoint, device, "bert.embeddings.LayerNorm")?;
        let shape = Shape {
            heads: config.num_attention_heads as u32,
            eps: config.layer_norm_eps as f32,
            activation: config.activation(),
        };
        Ok(Self { embeddings_norm, layers, shape, hidden: config.hidden_size as u32 })
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.embeddings_norm.weights().chain(self.layers.iter().flat_map(Layer::weights))
    }

    /// The settings that its layers and a head's transform need.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Records the whole encoder. `skips` says whether the modules after it ignore some tokens.
    pub fn record(&self, g: &mut Graph, skips: bool) -> Recorded {
        let embedded = g.input("embeddings.sum", Rows::Tokens, self.hidden);
        let bounds = g.input("bounds", Rows::Bounds, 1);
        let picked = g.input("picked", Rows::Picked, 1);
        let skipped = skips.then(|| g.input("skipped", Rows::Sequences, 1));
        let mut x = self.embeddings_norm.normalize(g, "embeddings.output", embedded, self.shape.eps);
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.record(g, i, x, bounds, &self.shape);
        }
        Recorded { embedded, bounds, picked, skipped, hidden: x }
    }
}
