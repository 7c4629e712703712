//! What a model's definition asks of its two users: inference uploads parameters and fuses ops, training keeps what gradients need.
//!
//! A definition such as `bert` is written once over these traits. `parameters` implements them for inference, and `train::trainer::model` for
//! training.

use crate::activation::Activation;
use crate::config::Config;
use crate::error::Result;
use crate::graph::Tensor;

/// Loads the parameters of a model that `R` records. The definition loads them in the order of the computation.
pub(crate) trait Source<R: Recorder> {
    /// The model's configuration.
    fn config(&self) -> &Config;

    /// Loads the linear layer `name`. Its `parts` in the checkpoint are stacked along the outputs.
    fn linear(&mut self, name: &str, parts: &[String]) -> Result<R::Linear>;

    /// Loads the LayerNorm `name`.
    fn layer_norm(&mut self, name: &str) -> Result<R::LayerNorm>;

    /// Loads the layer from hidden states to the vocabulary, in one part or more along the vocabulary.
    fn decoder(&mut self, weight: &str, bias: &str) -> Result<Vec<R::Linear>>;

    /// Loads `count` encoder layers with `load`, which takes a layer's index.
    fn layers<L>(&mut self, count: usize, load: impl FnMut(&mut Self, usize) -> Result<L>) -> Result<Vec<L>>;
}

/// Records the computation of a model. A name is that of the result.
pub(crate) trait Recorder: Sized {
    /// A linear layer's weight `[N, K]` and bias `[N]`.
    type Linear: std::fmt::Debug;
    /// A LayerNorm's gain and offset.
    type LayerNorm: std::fmt::Debug;

    /// Records `activation(x Wᵀ + b)`.
    fn linear(&mut self, name: &str, x: Tensor, layer: &Self::Linear, activation: Activation) -> Tensor;

    /// Records `dropout(x Wᵀ + b) + residual`.
    fn add_linear(
        &mut self,
        name: &str,
        x: Tensor,
        layer: &Self::Linear,
        site: DropoutSite,
        residual: Tensor,
    ) -> Tensor;

    /// Records the LayerNorm of each row.
    fn layer_norm(&mut self, name: &str, x: Tensor, norm: &Self::LayerNorm, eps: f32) -> Tensor;

    /// Records multi-head self-attention within each sequence. `qkv` is `[T, 3H]`; `site` is the dropout of the probabilities.
    fn attention(&mut self, name: &str, qkv: Tensor, bounds: Tensor, heads: u32, site: DropoutSite) -> Tensor;

    /// Records the dropout of `x`, or returns `x` if nothing is dropped.
    fn dropout(&mut self, name: &str, x: Tensor, site: DropoutSite) -> Tensor;

    /// Records the rows of `x` that are picked `[P, H]`.
    fn gather(&mut self, name: &str, x: Tensor, picked: Tensor) -> Tensor;

    /// Records each sequence's first row of `x` `[B, H]`.
    fn first(&mut self, name: &str, x: Tensor, bounds: Tensor) -> Tensor;

    /// Records a part of the model that depends on `x` alone. Training can compute its activations again instead of keeping them.
    fn segment(&mut self, x: Tensor, record: impl Fn(&mut Self, Tensor) -> Tensor + 'static) -> Tensor {
        record(self, x)
    }
}

/// A place where training drops elements.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "train"), allow(dead_code, reason = "inference drops nothing"))]
pub(crate) struct DropoutSite {
    /// Its number in the model. No two sites have the same, so that each drops other elements.
    pub index: u32,
    /// Which of the configuration's rates it uses.
    pub rate: DropoutRate,
}

/// The dropout rates of a configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DropoutRate {
    /// `hidden_dropout_prob`
    Hidden,
    /// `attention_probs_dropout_prob`
    Attention,
    /// `classifier_dropout`, or else `hidden_dropout_prob`
    Classifier,
}
