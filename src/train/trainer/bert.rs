//! A BERT recorded on the tape: the encoder with its dropouts, a head, a loss.

use crate::activation::Activation;
use crate::checkpoint::{Checkpoint, Head, names};
use crate::device::Rows;
use crate::error::{Error, Result};
use crate::graph::Tensor;
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::dropout::Dropout;
use crate::ops::element_loss::{ElementLoss, element_loss};
use crate::ops::span_loss::span_loss;
use crate::train::autodiff::nodes::{Param, Sorted};
use crate::train::autodiff::tape::Tape;
use crate::train::parameters::lora::{Adapter, MODULES, module};
use crate::train::parameters::params::{Params, trains, unknown};
use crate::train::{Method, TrainOptions};

/// A weight and its bias, or a gain and its offset.
type Pair = [Param; 2];

/// A linear layer of the encoder, and what adapts it.
#[derive(Clone, Debug)]
struct Linear {
    pair: Pair,
    adapters: Vec<Adapter>,
}

#[derive(Clone, Debug)]
struct Layer {
    qkv: Linear,
    out: Linear,
    attention_norm: Pair,
    up: Linear,
    down: Linear,
    norm: Pair,
}

/// The parts of a language model's head.
#[derive(Debug)]
struct Words {
    dense: Pair,
    norm: Pair,
    decoder: Pair,
}

/// A model's parameters where the computation wants them.
#[derive(Debug)]
pub(in crate::train) struct Bert {
    /// Word, type and position embeddings, where any of them is trained; else the host gathers their sum.
    tables: Option<[Param; 3]>,
    norm: Pair,
    layers: Vec<Layer>,
    pooler: Option<Pair>,
    words: Option<Words>,
    linear: Option<Pair>,
    head: Head,
    hidden: u32,
    heads: u32,
    eps: f32,
    activation: Activation,
    /// The loss of a sequence classifier.
    problem: Problem,
    rates: Rates,
    /// Layers are recorded as [`Tape::checkpoint`]s.
    checkpoints: bool,
}

/// What all layers have in common.
#[derive(Clone, Copy, Debug)]
struct Common {
    heads: u32,
    eps: f32,
    activation: Activation,
    rates: Rates,
    control: Tensor,
}

impl Layer {
    fn load(load: &mut Loader<'_>, i: usize) -> Result<Self> {
        let norm = |name: &str| [format!("bert.encoder.layer.{i}.{name}.LayerNorm")];
        Ok(Self {
            qkv: load.linear(i, 0..3)?,
            out: load.linear(i, 3..4)?,
            attention_norm: load.pair(&norm("attention.output"))?,
            up: load.linear(i, 4..5)?,
            down: load.linear(i, 5..6)?,
            norm: load.pair(&norm("output"))?,
        })
    }

    /// Records layer `i` on x.
    fn record(&self, tape: &mut Tape, x: Tensor, i: u32, bounds: Tensor, common: Common) -> Tensor {
        let Common { heads, eps, activation, rates, control } = common;
        let name = |n: &str| format!("layer.{i}.{n}");
        let site = |at: u32, p: f32| Dropout { control, site: 3 * i + 1 + at, p };
        let adapt = Dropout { control, site: 0, p: rates.adapter };
        let qkv = linear(tape, &name("qkv"), x, &self.qkv, None, adapt);
        let context = tape.attention(&name("context"), qkv, bounds, heads, site(0, rates.attention));
        let sum = onto(tape, &name("attention_sum"), context, &self.out, x, [site(1, rates.hidden), adapt]);
        let attended = tape.layer_norm(&name("attention_output"), sum, pair(&self.attention_norm), eps);
        let up = linear(tape, &name("up"), attended, &self.up, None, adapt);
        let up = tape.activate(&name("activated"), up, activation);
        let sum = onto(tape, &name("down_sum"), up, &self.down, attended, [site(2, rates.hidden), adapt]);
        tape.layer_norm(&name("output"), sum, pair(&self.norm), eps)
    }
}

/// What a sequence classifier's labels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// One class of several: cross-entropy.
    Single,
    /// Any number of classes: binary cross-entropy of each.
    Multi,
    /// A score: squared difference.
    Regression,
}

/// Shares of elements that are dropped.
#[derive(Clone, Copy, Debug)]
struct Rates {
    hidden: f32,
    attention: f32,
    classifier: f32,
    /// Of what goes into an adapter.
    adapter: f32,
}

impl Rates {
    const NONE: Self = Self { hidden: 0.0, attention: 0.0, classifier: 0.0, adapter: 0.0 };
}

/// The tensors that the host fills for a step.
#[derive(Clone, Copy, Debug)]
pub(in crate::train) struct Inputs {
    /// `[1, 4]`: the step's key, the learning rate, and the corrections of the moments' bias.
    pub control: Tensor,
    pub bounds: Tensor,
    /// The embedding sum `[T, H]`, where the tables are frozen.
    pub embedded: Option<Tensor>,
    /// Ids `[T, 3]` and their orders, where they are not.
    pub ids: Option<(Tensor, [Sorted; 3])>,
    pub picked: Option<(Tensor, Sorted)>,
    pub first: Option<Sorted>,
    /// Labels and weights of each loss, in the order of the losses.
    pub labels: [Option<(Tensor, Tensor)>; 2],
}

/// Loads what the layers are made of, in the order of the computation: what comes first decides what is gone back through.
struct Loader<'a> {
    params: &'a mut Params,
    checkpoint: &'a Checkpoint,
    options: &'a TrainOptions,
}

impl Loader<'_> {
    fn one(&mut self, name: &str) -> Result<Param> {
        self.params.load(self.checkpoint, &[name.into()], self.options)
    }

    /// Weights and biases, or gains and offsets, of several parts.
    fn pair(&mut self, parts: &[String]) -> Result<Pair> {
        let mut load = |kind: &str| {
            let names: Vec<_> = parts.iter().map(|part| format!("{part}.{kind}")).collect();
            self.params.load(self.checkpoint, &names, self.options)
        };
        Ok([load("weight")?, load("bias")?])
    }

    /// The linear layer of the encoder's layer `i` that is these of the [`MODULES`], with their adapters.
    fn linear(&mut self, i: usize, places: std::ops::Range<usize>) -> Result<Linear> {
        let modules: Vec<_> = places.clone().map(|at| module(i, MODULES[at])).collect();
        let mut linear = Linear { pair: self.pair(&modules)?, adapters: Vec::new() };
        let Method::Lora(lora) = &self.options.method else { return Ok(linear) };
        let config = self.checkpoint.config();
        let mut first = 0;
        for (at, module) in places.zip(&modules) {
            let name = format!("{module}.weight");
            let known = names::param(config, &name).ok_or_else(|| unknown(&name))?;
            if lora.applies_to(module) {
                // Behind the places of the model's own dropouts.
                let site = 3 * config.num_hidden_layers + 2 + MODULES.len() * i + at;
                let (shape, places) = ([known.rows, known.cols], [first, site].map(|n| n as u32));
                linear.adapters.push(self.params.adapter(module, shape, places, (lora, self.options.seed))?);
            }
            first += known.rows;
        }
        Ok(linear)
    }
}

impl Bert {
    pub fn load(params: &mut Params, checkpoint: &Checkpoint, head: Head, options: &TrainOptions) -> Result<Self> {
        let config = checkpoint.config();
        let mut load = Loader { params, checkpoint, options };
        let e = "bert.embeddings";
        let word = format!("{e}.word_embeddings.weight");
        let tables = if trains(&word, options) {
            let [kind, position] = ["token_type", "position"].map(|kind| format!("{e}.{kind}_embeddings.weight"));
            Some([load.one(&word)?, load.one(&kind)?, load.one(&position)?])
        } else {
            None
        };
        let norm = load.pair(&[format!("{e}.LayerNorm")])?;
        let layers = (0..config.num_hidden_layers).map(|i| Layer::load(&mut load, i)).collect::<Result<_>>()?;
        let pooler = head.has_pooler().then(|| load.pair(&["bert.pooler.dense".into()])).transpose()?;
        let linear = match head {
            Head::QuestionAnswering => Some("qa_outputs"),
            Head::NextSentence | Head::PreTraining => Some("cls.seq_relationship"),
            Head::SequenceClassification | Head::TokenClassification => Some("classifier"),
            Head::MaskedLm => None,
            other => {
                return Err(Error::Unsupported {
                    what: format!("training {}", other.architecture()),
                    help: "Train a head for question answering, classification, tagging or language modelling".into(),
                });
            }
        };
        let linear = linear.map(|name| load.pair(&[name.into()])).transpose()?;
        let transform = "cls.predictions.transform";
        let transform = if head.has_language_model() {
            Some((load.pair(&[format!("{transform}.dense")])?, load.pair(&[format!("{transform}.LayerNorm")])?))
        } else {
            None
        };
        let words = match transform {
            None => None,
            Some((dense, norm)) => {
                let table = match &tables {
                    _ if !config.tie_word_embeddings => load.one("cls.predictions.decoder.weight")?,
                    Some([word, ..]) => word.clone(),
                    None => load.one(&word)?,
                };
                Some(Words { dense, norm, decoder: [table, load.one("cls.predictions.bias")?] })
            }
        };
        let rate = |p: Option<f64>| if options.dropout { p.unwrap_or(config.hidden_dropout_prob) as f32 } else { 0.0 };
        let problem = match config.problem_type.as_deref() {
            Some("regression") => Problem::Regression,
            Some("multi_label_classification") => Problem::Multi,
            None if config.num_labels() == 1 => Problem::Regression,
            _ => Problem::Single,
        };
        Ok(Self {
            tables,
            norm,
            layers,
            pooler,
            words,
            linear,
            head,
            hidden: config.hidden_size as u32,
            heads: config.num_attention_heads as u32,
            eps: config.layer_norm_eps as f32,
            activation: config.activation(),
            problem,
            rates: Rates {
                hidden: rate(None),
                attention: rate(Some(config.attention_probs_dropout_prob)),
                classifier: rate(config.classifier_dropout),
                adapter: match &options.method {
                    Method::Lora(lora) if options.dropout => lora.dropout,
                    _ => 0.0,
                },
            },
            checkpoints: options.checkpoint_activations,
        })
    }

    fn common(&self, control: Tensor, rates: Rates) -> Common {
        Common { heads: self.heads, eps: self.eps, activation: self.activation, rates, control }
    }

    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// Records everything from the inputs to the losses, and their gradients; the losses' rows are returned.
    pub fn record(&self, tape: &mut Tape, control: Tensor) -> (Inputs, Vec<Tensor>) {
        let mut inputs = self.inputs(tape, control);
        let logits = self.forward(tape, &inputs, self.rates);
        let losses = self.record_losses(tape, &mut inputs, &logits);
        tape.backward();
        (inputs, losses)
    }

    /// Records the logits alone, without dropout: the language model's `[P, V]`, then those of the linear head.
    pub fn record_logits(&self, tape: &mut Tape, control: Tensor) -> (Inputs, Vec<Tensor>) {
        let inputs = self.inputs(tape, control);
        let logits = self.forward(tape, &inputs, Rates::NONE);
        (inputs, logits)
    }

    /// Records the encoder and the head.
    fn forward(&self, tape: &mut Tape, inputs: &Inputs, rates: Rates) -> Vec<Tensor> {
        let control = inputs.control;
        let site = |site: u32, p: f32| Dropout { control, site, p };
        let mut x = match (&self.tables, inputs.ids, inputs.embedded) {
            (Some([word, kind, position]), Some((ids, sorted)), _) => {
                tape.embed("embeddings.sum", [word, kind, position], ids, sorted)
            }
            (_, _, Some(sum)) => sum,
            _ => unreachable!("one of the two is an input"),
        };
        x = tape.layer_norm("embeddings.output", x, pair(&self.norm), self.eps);
        x = drop_out(tape, "embeddings.dropped", x, site(0, rates.hidden));
        for (i, layer) in (0..).zip(&self.layers) {
            let (layer, bounds, common) = (layer.clone(), inputs.bounds, self.common(control, rates));
            let record = move |tape: &mut Tape, x: Tensor| layer.record(tape, x, i, bounds, common);
            x = if self.checkpoints { tape.checkpoint(x, record) } else { record(tape, x) };
        }
        let last = 3 * self.layers.len() as u32 + 1;
        self.record_head(tape, inputs, x, site(last, rates.classifier))
    }

    fn inputs(&self, tape: &mut Tape, control: Tensor) -> Inputs {
        let g = tape.graph();
        let sorted = |g: &mut crate::graph::Graph, rows| Sorted {
            order: g.input("order", rows, 1),
            segments: g.input("segments", rows, 3),
        };
        let embedded = self.tables.is_none().then(|| g.input("embeddings.sum", Rows::Tokens, self.hidden));
        let ids =
            self.tables.as_ref().map(|_| (g.input("ids", Rows::Tokens, 3), [0, 1, 2].map(|_| sorted(g, Rows::Tokens))));
        let picked = self.words.as_ref().map(|_| (g.input("picked", Rows::Picked, 1), sorted(g, Rows::Picked)));
        let first = self.pooler.as_ref().map(|_| sorted(g, Rows::Sequences));
        let bounds = g.input("bounds", Rows::Bounds, 1);
        Inputs { control, bounds, embedded, ids, picked, first, labels: [None; 2] }
    }

    fn record_head(&self, tape: &mut Tape, inputs: &Inputs, x: Tensor, classifier: Dropout) -> Vec<Tensor> {
        let mut logits = Vec::new();
        if let (Some(words), Some((picked, sorted))) = (&self.words, inputs.picked) {
            let y = tape.gather("picked_hidden", x, picked, sorted);
            let y = tape.linear("transform", y, pair(&words.dense), None);
            let y = tape.activate("transform_activated", y, self.activation);
            let y = tape.layer_norm("transform_output", y, pair(&words.norm), self.eps);
            logits.push(tape.linear("prediction_logits", y, pair(&words.decoder), None));
        }
        let Some(linear) = &self.linear else { return logits };
        let mut y = x;
        if let (Some(pooler), Some(sorted)) = (&self.pooler, inputs.first) {
            let first = tape.first("first", x, inputs.bounds, sorted);
            let dense = tape.linear("pooler", first, pair(pooler), None);
            y = tape.activate("pooled", dense, Activation::Tanh);
        }
        if matches!(self.head, Head::SequenceClassification | Head::TokenClassification) {
            y = drop_out(tape, "classified", y, classifier);
        }
        logits.push(tape.linear("logits", y, pair(linear), None));
        logits
    }

    /// Records a loss of each of the head's logits, with its gradient.
    fn record_losses(&self, tape: &mut Tape, inputs: &mut Inputs, logits: &[Tensor]) -> Vec<Tensor> {
        let mut losses = Vec::new();
        for (&logits, to) in logits.iter().zip(&mut inputs.labels) {
            let g = tape.graph();
            let loss = match (self.head, self.problem) {
                (Head::QuestionAnswering, _) => {
                    let labels = g.input("labels", Rows::Sequences, 2);
                    let weights = g.input("weights", Rows::Sequences, 2);
                    *to = Some((labels, weights));
                    span_loss(g, logits, inputs.bounds, labels, weights)
                }
                (Head::SequenceClassification, Problem::Multi | Problem::Regression) => {
                    let kind = if self.problem == Problem::Multi { ElementLoss::Binary } else { ElementLoss::Squared };
                    let labels = g.input("labels", logits.rows, logits.cols);
                    let weights = g.input("weights", logits.rows, 1);
                    *to = Some((labels, weights));
                    element_loss(g, logits, labels, weights, kind)
                }
                _ => {
                    let labels = g.input("labels", logits.rows, 1);
                    let weights = g.input("weights", logits.rows, 1);
                    *to = Some((labels, weights));
                    cross_entropy(g, logits, labels, weights)
                }
            };
            tape.give(logits, loss.d_logits);
            losses.push(loss.loss);
        }
        losses
    }
}

fn pair(of: &Pair) -> [&Param; 2] {
    let [weight, bias] = of;
    [weight, bias]
}

/// `x Wᵀ + b + residual` as adapted; `adapt` is the dropout of what goes into an adapter, at any place.
fn linear(tape: &mut Tape, name: &str, x: Tensor, by: &Linear, residual: Option<Tensor>, adapt: Dropout) -> Tensor {
    let y = tape.linear(name, x, pair(&by.pair), residual);
    for adapter in &by.adapters {
        tape.adapt(y, x, adapter, Dropout { site: adapter.site, ..adapt });
    }
    y
}

/// `dropout(x Wᵀ + b) + residual`, in one op where nothing is dropped.
fn onto(tape: &mut Tape, name: &str, x: Tensor, by: &Linear, residual: Tensor, [site, adapt]: [Dropout; 2]) -> Tensor {
    if site.p == 0.0 {
        return linear(tape, name, x, by, Some(residual), adapt);
    }
    let y = linear(tape, "dense", x, by, None, adapt);
    tape.dropout(name, y, site, Some(residual))
}

fn drop_out(tape: &mut Tape, name: &str, x: Tensor, site: Dropout) -> Tensor {
    if site.p == 0.0 { x } else { tape.dropout(name, x, site, None) }
}
