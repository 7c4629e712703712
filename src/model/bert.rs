//! The definition of BERT (Devlin et al., 2018; `modeling_bert.py` of transformers): the encoder, and the heads on top of it.
//!
//! It says which parameters there are and what is computed from them. It is written over a [`Recorder`], so inference and training share it.
//! The names and shapes of all tensors are in [`names`].

use std::sync::Arc;

use super::recorder::{DropoutRate, DropoutSite, Recorder, Source};
use crate::activation::Activation;
use crate::checkpoint::names::{self, LINEAR_LAYERS};
use crate::checkpoint::{Head, TABLES};
use crate::config::Config;
use crate::error::Result;
use crate::graph::Tensor;

/// The parameters of a model with a head, for the recorder `R`.
#[derive(Debug)]
pub(crate) struct Bert<R: Recorder> {
    embeddings_norm: R::LayerNorm,
    layers: Vec<Arc<Layer<R>>>,
    pooler: Option<R::Linear>,
    /// The linear layer of the head, with the name of its logits.
    classifier: Option<(R::Linear, &'static str)>,
    language_model: Option<LanguageModel<R>>,
    head: Head,
    shape: Shape,
}

/// One encoder layer: self-attention and feed-forward, each with its residual and LayerNorm.
#[derive(Debug)]
struct Layer<R: Recorder> {
    qkv: R::Linear,
    out: R::Linear,
    attention_norm: R::LayerNorm,
    up: R::Linear,
    down: R::Linear,
    norm: R::LayerNorm,
}

/// The masked language model's head: a transform, then one logit for each word (`BertLMPredictionHead`).
#[derive(Debug)]
struct LanguageModel<R: Recorder> {
    dense: R::Linear,
    norm: R::LayerNorm,
    /// Parts of the vocabulary, in order.
    decoder: Vec<R::Linear>,
}

/// The numbers of a configuration that layers need.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: u32,
    eps: f32,
    activation: Activation,
}

/// The results of a recording.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The last hidden states `[T, H]`.
    pub hidden: Tensor,
    /// The pooler's vectors `[B, H]`, if the head has a pooler.
    pub pooled: Option<Tensor>,
    /// The logits of the language model, then those of the head's linear layer; each if the head has it.
    pub logits: Vec<Output>,
}

/// A result with its name. Its columns are those of the parts, side by side.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub name: &'static str,
    pub parts: Vec<Tensor>,
}

impl Output {
    /// The columns of all parts together.
    pub fn cols(&self) -> usize {
        self.parts.iter().map(|part| part.cols as usize).sum()
    }
}

impl<R: Recorder + 'static> Bert<R> {
    /// Loads the encoder and the head.
    pub fn load<S: Source<R>>(source: &mut S, head: Head) -> Result<Self> {
        let config = source.config();
        let (shape, layers, is_tied) = (Shape::new(config), config.num_hidden_layers, config.tie_word_embeddings);
        let embeddings_norm = source.layer_norm("bert.embeddings.LayerNorm")?;
        let layers = source.layers(layers, |source, index| Layer::load(source, index).map(Arc::new))?;
        let pooler = head.has_pooler().then(|| one(source, "bert.pooler.dense")).transpose()?;
        let classifier = match head.linear_layer() {
            Some((name, logits)) => Some((one(source, name)?, logits)),
            None => None,
        };
        let language_model = head.has_language_model().then(|| LanguageModel::load(source, is_tied)).transpose()?;
        Ok(Self { embeddings_norm, layers, pooler, classifier, language_model, head, shape })
    }

    /// Records everything from the embedding sum `[T, H]` to the logits. `bounds` are the sequences' first tokens and T `[B + 1]`; `picked` are the tokens
    /// whose words are predicted `[P]`.
    pub fn record(&self, r: &mut R, embedded: Tensor, bounds: Tensor, picked: Tensor) -> Recorded {
        let Shape { eps, activation, .. } = self.shape;
        let site = |index, rate| DropoutSite { index, rate };
        let x = r.layer_norm("embeddings.output", embedded, &self.embeddings_norm, eps);
        let mut hidden = r.dropout("embeddings.dropped", x, site(0, DropoutRate::Hidden));
        for (index, layer) in (0..).zip(&self.layers) {
            let (layer, shape) = (Arc::clone(layer), self.shape);
            hidden = r.segment(hidden, move |r, x| layer.record(r, index, x, bounds, shape));
        }
        let mut logits = Vec::new();
        if let Some(LanguageModel { dense, norm, decoder }) = &self.language_model {
            let x = r.gather("picked_hidden", hidden, picked);
            let x = r.linear("transform", x, dense, activation);
            let x = r.layer_norm("transform_output", x, norm, eps);
            let name = "prediction_logits";
            let parts = decoder.iter().map(|part| r.linear(name, x, part, Activation::Linear)).collect();
            logits.push(Output { name, parts });
        }
        let pooled = self.pooler.as_ref().map(|pooler| {
            let first = r.first("first", hidden, bounds);
            r.linear("pooled", first, pooler, Activation::Tanh)
        });
        if let Some((linear, name)) = &self.classifier {
            let mut x = pooled.unwrap_or(hidden);
            if self.head.is_classifier() {
                let last = Layer::<R>::SITES * self.layers.len() as u32 + 1;
                x = r.dropout("classified", x, site(last, DropoutRate::Classifier));
            }
            logits.push(Output { name, parts: vec![r.linear(name, x, linear, Activation::Linear)] });
        }
        Recorded { hidden, pooled, logits }
    }

    /// All linear layers.
    pub fn linears(&self) -> impl Iterator<Item = &R::Linear> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.qkv, &layer.out, &layer.up, &layer.down]);
        let words = self.language_model.iter().flat_map(|words| std::iter::once(&words.dense).chain(&words.decoder));
        layers.chain(&self.pooler).chain(self.classifier.iter().map(|(linear, _)| linear)).chain(words)
    }

    /// All LayerNorms.
    pub fn layer_norms(&self) -> impl Iterator<Item = &R::LayerNorm> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.attention_norm, &layer.norm]);
        let words = self.language_model.iter().map(|words| &words.norm);
        std::iter::once(&self.embeddings_norm).chain(layers).chain(words)
    }

    /// The parts of the language model's decoder; none if the head has no language model.
    pub fn decoder(&self) -> &[R::Linear] {
        self.language_model.as_ref().map_or(&[], |words| &words.decoder)
    }
}

impl<R: Recorder> Layer<R> {
    /// The number of dropout sites in a layer. Site 0 is that of the embeddings.
    const SITES: u32 = 3;

    fn load<S: Source<R>>(source: &mut S, index: usize) -> Result<Self> {
        let at = |name: &str| names::in_layer(index, name);
        let [q, k, v, out, up, down] = LINEAR_LAYERS.map(at);
        Ok(Self {
            qkv: source.linear(&at("attention.self.qkv"), &[q, k, v])?,
            out: one(source, &out)?,
            attention_norm: source.layer_norm(&at("attention.output.LayerNorm"))?,
            up: one(source, &up)?,
            down: one(source, &down)?,
            norm: source.layer_norm(&at("output.LayerNorm"))?,
        })
    }

    /// Records the layer on `x [T, H]`. Its results are named `layer.{index}.…`.
    fn record(&self, r: &mut R, index: u32, x: Tensor, bounds: Tensor, shape: Shape) -> Tensor {
        let Shape { heads, eps, activation } = shape;
        let name = |n: &str| format!("layer.{index}.{n}");
        let site = |at: u32, rate| DropoutSite { index: Self::SITES * index + 1 + at, rate };
        let qkv = r.linear(&name("qkv"), x, &self.qkv, Activation::Linear);
        let context = r.attention(&name("context"), qkv, bounds, heads, site(0, DropoutRate::Attention));
        let sum = r.add_linear(&name("attention_sum"), context, &self.out, site(1, DropoutRate::Hidden), x);
        let attended = r.layer_norm(&name("attention_output"), sum, &self.attention_norm, eps);
        let up = r.linear(&name("up"), attended, &self.up, activation);
        let sum = r.add_linear(&name("down_sum"), up, &self.down, site(2, DropoutRate::Hidden), attended);
        r.layer_norm(&name("output"), sum, &self.norm, eps)
    }
}

impl<R: Recorder> LanguageModel<R> {
    /// `is_tied`: the decoder's weight is the table of word embeddings.
    fn load<S: Source<R>>(source: &mut S, is_tied: bool) -> Result<Self> {
        let [word, ..] = TABLES;
        Ok(Self {
            dense: one(source, "cls.predictions.transform.dense")?,
            norm: source.layer_norm("cls.predictions.transform.LayerNorm")?,
            decoder: source.decoder(if is_tied { word } else { names::OWN_DECODER }, "cls.predictions.bias")?,
        })
    }
}

impl Shape {
    fn new(config: &Config) -> Self {
        Self {
            heads: config.num_attention_heads as u32,
            eps: config.layer_norm_eps as f32,
            activation: config.activation(),
        }
    }
}

/// Loads a linear layer that is one in the checkpoint too.
fn one<R: Recorder, S: Source<R>>(source: &mut S, name: &str) -> Result<R::Linear> {
    source.linear(name, &[name.to_owned()])
}
