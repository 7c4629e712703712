//! A model in training: its parameters, the recording of its definition on the tape with dropout, and its losses.

use crate::activation::Activation;
use crate::checkpoint::names::{self, LINEAR_LAYERS};
use crate::checkpoint::{Checkpoint, Head, TABLES};
use crate::config::{Config, ProblemType};
use crate::device::Rows;
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::model::bert::Bert;
use crate::model::recorder::{DropoutRate, DropoutSite, Recorder, Source};
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::dropout::Dropout;
use crate::ops::element_loss::{ElementLoss, element_loss};
use crate::ops::span_loss::span_loss;
use crate::train::autodiff::nodes::{Param, Sorted};
use crate::train::autodiff::tape::Tape;
use crate::train::parameters::lora::Adapter;
use crate::train::parameters::params::{Params, trains};
use crate::train::parameters::unknown;
use crate::train::{Method, TrainOptions};

/// A model whose parameters are trained, or frozen.
#[derive(Debug)]
pub(in crate::train) struct TrainedModel {
    /// Word, type and position embeddings, if any of them is trained. Otherwise the host adds them up.
    tables: Option<[Param; 3]>,
    bert: Bert<TapeRecorder>,
    head: Head,
    hidden: u32,
    /// The loss of a sequence classifier.
    problem: ProblemType,
    rates: Rates,
    /// Whether layers are recorded as [`Tape::checkpoint`]s.
    checkpoints: bool,
}

/// The tensors that the host fills for a step.
#[derive(Clone, Copy, Debug)]
pub(in crate::train) struct Inputs {
    /// `[1, 4]`: the step's key, the learning rate, and the corrections of the moments' bias.
    pub control: Tensor,
    pub bounds: Tensor,
    /// The embedding sum `[T, H]`, if the tables are frozen.
    pub embedded: Option<Tensor>,
    /// Ids `[T, 3]` and their orders, if the tables are trained.
    pub ids: Option<(Tensor, [Sorted; 3])>,
    /// Picked tokens `[P]` and their order, if the head has a language model.
    pub picked: Option<(Tensor, Sorted)>,
    /// The order of the sequences' first tokens, if the head has a pooler.
    pub first: Option<Sorted>,
    /// Labels and weights of each loss, in the order of the losses.
    pub labels: [Option<(Tensor, Tensor)>; 2],
}

/// Dropout rates: the share of elements that are dropped.
#[derive(Clone, Copy, Debug)]
struct Rates {
    hidden: f32,
    attention: f32,
    classifier: f32,
    /// Of the input of an adapter.
    adapter: f32,
}

impl Rates {
    const NONE: Self = Self { hidden: 0.0, attention: 0.0, classifier: 0.0, adapter: 0.0 };

    fn new(config: &Config, options: &TrainOptions) -> Self {
        if !options.dropout {
            return Self::NONE;
        }
        let hidden = config.hidden_dropout_prob;
        Self {
            hidden: hidden as f32,
            attention: config.attention_probs_dropout_prob as f32,
            classifier: config.classifier_dropout.unwrap_or(hidden) as f32,
            adapter: if let Method::Lora(lora) = &options.method { lora.dropout } else { 0.0 },
        }
    }
}

impl TrainedModel {
    /// Loads the parameters of `checkpoint` into `params`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a head without a loss; the errors of [`Params::load`].
    pub fn load(params: &mut Params, checkpoint: &Checkpoint, head: Head, options: &TrainOptions) -> Result<Self> {
        if matches!(head, Head::Encoder | Head::Embedding(_) | Head::Pooler | Head::MultipleChoice) {
            return Err(Error::Unsupported {
                what: format!("training {}", head.architecture()),
                help: "Train a head for question answering, classification, tagging or language modelling".into(),
            });
        }
        let mut loader = Loader { params, checkpoint, options, tables: None };
        if trains(TABLES[0], options) {
            let [word, kind, position] = TABLES;
            loader.tables = Some([loader.one(word)?, loader.one(kind)?, loader.one(position)?]);
        }
        let bert = Bert::load(&mut loader, head)?;
        let config = checkpoint.config();
        Ok(Self {
            tables: loader.tables,
            bert,
            head,
            hidden: config.hidden_size as u32,
            problem: config.trained_problem(),
            rates: Rates::new(config, options),
            checkpoints: options.checkpoint_activations,
        })
    }

    /// How the labels of a sequence classifier relate to each other.
    pub fn problem(&self) -> ProblemType {
        self.problem
    }

    /// Records everything from the inputs to the losses and their gradients. Returns the rows of each loss.
    pub fn record(&self, tape: Tape, control: Tensor) -> (Tape, Inputs, Vec<Tensor>) {
        let (mut tape, mut inputs, logits) = self.record_forward(tape, control, self.rates);
        let losses = self.record_losses(&mut tape, &mut inputs, &logits);
        tape.backward();
        (tape, inputs, losses)
    }

    /// Records only the logits, without dropout: the language model's `[P, V]`, then those of the linear layer.
    pub fn record_logits(&self, tape: Tape, control: Tensor) -> (Tape, Inputs, Vec<Tensor>) {
        self.record_forward(tape, control, Rates::NONE)
    }

    fn record_forward(&self, mut tape: Tape, control: Tensor, rates: Rates) -> (Tape, Inputs, Vec<Tensor>) {
        let inputs = self.inputs(tape.graph(), control);
        let embedded = match (&self.tables, inputs.ids, inputs.embedded) {
            (Some([word, kind, position]), Some((ids, sorted)), _) => {
                tape.embed("embeddings.sum", [word, kind, position], ids, sorted)
            }
            (_, _, embedded) => embedded.expect("one of the two is an input"),
        };
        // A head without a language model reads no picked tokens.
        let picked = inputs.picked.map_or(inputs.bounds, |(picked, _)| picked);
        let mut recorder = TapeRecorder { tape, inputs, rates, checkpoints: self.checkpoints };
        let recorded = self.bert.record(&mut recorder, embedded, inputs.bounds, picked);
        let logits = recorded.logits.into_iter().flat_map(|output| output.parts).collect();
        (recorder.tape, inputs, logits)
    }

    fn inputs(&self, g: &mut Graph, control: Tensor) -> Inputs {
        let sorted =
            |g: &mut Graph, rows| Sorted { order: g.input("order", rows, 1), segments: g.input("segments", rows, 3) };
        let embedded = self.tables.is_none().then(|| g.input("embeddings.sum", Rows::Tokens, self.hidden));
        let ids =
            self.tables.as_ref().map(|_| (g.input("ids", Rows::Tokens, 3), [0, 1, 2].map(|_| sorted(g, Rows::Tokens))));
        let picked = self.head.has_language_model();
        let picked = picked.then(|| (g.input("picked", Rows::Picked, 1), sorted(g, Rows::Picked)));
        let first = self.head.has_pooler().then(|| sorted(g, Rows::Sequences));
        let bounds = g.input("bounds", Rows::Bounds, 1);
        Inputs { control, bounds, embedded, ids, picked, first, labels: [None; 2] }
    }

    /// Records a loss for each of the head's logits, with its gradient.
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
                (Head::SequenceClassification, ProblemType::MultiLabel | ProblemType::Regression) => {
                    let is_binary = self.problem == ProblemType::MultiLabel;
                    let kind = if is_binary { ElementLoss::Binary } else { ElementLoss::Squared };
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

/// A linear layer, with its adapters if it has some.
#[derive(Debug)]
pub(in crate::train) struct Linear {
    weight: Param,
    bias: Param,
    adapters: Vec<Adapter>,
}

/// A LayerNorm.
#[derive(Debug)]
pub(in crate::train) struct LayerNorm {
    gain: Param,
    offset: Param,
}

/// Loads parameters in the order of the computation. The first trained one decides how far gradients go back.
struct Loader<'a> {
    params: &'a mut Params,
    checkpoint: &'a Checkpoint,
    options: &'a TrainOptions,
    /// The trained embedding tables. A tied decoder shares the first one.
    tables: Option<[Param; 3]>,
}

impl Loader<'_> {
    fn load(&mut self, names: &[String]) -> Result<Param> {
        self.params.load(self.checkpoint, names, self.options)
    }

    fn one(&mut self, name: &str) -> Result<Param> {
        self.load(&[name.to_owned()])
    }

    /// The adapter of the linear layer `part`, if it gets one. Its outputs begin at column `first` of the whole layer.
    fn adapter(&mut self, part: &str, first: usize, [rows, cols]: [usize; 2]) -> Result<Option<Adapter>> {
        let (Method::Lora(lora), Some((layer, at))) = (&self.options.method, names::place_in_layer(part)) else {
            return Ok(None);
        };
        if !lora.applies_to(part) {
            return Ok(None);
        }
        // These sites come after those of the model itself.
        let site = 3 * self.checkpoint.config().num_hidden_layers + 2 + LINEAR_LAYERS.len() * layer + at;
        let places = [first, site].map(|n| n as u32);
        self.params.adapter(part, [rows, cols], places, (lora, self.options.seed)).map(Some)
    }
}

impl Source<TapeRecorder> for Loader<'_> {
    fn config(&self) -> &Config {
        self.checkpoint.config()
    }

    fn linear(&mut self, _: &str, parts: &[String]) -> Result<Linear> {
        let named = |kind: &str| parts.iter().map(|part| format!("{part}.{kind}")).collect::<Vec<_>>();
        let (weight, bias) = (self.load(&named("weight"))?, self.load(&named("bias"))?);
        let (mut adapters, mut first) = (Vec::new(), 0);
        for part in parts {
            let name = format!("{part}.weight");
            let known = names::param(self.checkpoint.config(), &name).ok_or_else(|| unknown(&name))?;
            adapters.extend(self.adapter(part, first, [known.rows, known.cols])?);
            first += known.rows;
        }
        Ok(Linear { weight, bias, adapters })
    }

    fn layer_norm(&mut self, name: &str) -> Result<LayerNorm> {
        Ok(LayerNorm { gain: self.one(&format!("{name}.weight"))?, offset: self.one(&format!("{name}.bias"))? })
    }

    fn decoder(&mut self, weight: &str, bias: &str) -> Result<Vec<Linear>> {
        let weight = match &self.tables {
            Some([word, ..]) if weight == TABLES[0] => word.clone(),
            _ => self.one(weight)?,
        };
        Ok(vec![Linear { weight, bias: self.one(bias)?, adapters: Vec::new() }])
    }

    fn layers<L>(&mut self, count: usize, mut load: impl FnMut(&mut Self, usize) -> Result<L>) -> Result<Vec<L>> {
        (0..count).map(|index| load(self, index)).collect()
    }
}

/// Records on the tape, with dropout.
#[derive(Debug)]
pub(in crate::train) struct TapeRecorder {
    tape: Tape,
    inputs: Inputs,
    rates: Rates,
    checkpoints: bool,
}

impl TapeRecorder {
    fn at(&self, site: DropoutSite) -> Dropout {
        let p = match site.rate {
            DropoutRate::Hidden => self.rates.hidden,
            DropoutRate::Attention => self.rates.attention,
            DropoutRate::Classifier => self.rates.classifier,
        };
        Dropout { control: self.inputs.control, site: site.index, p }
    }

    /// Records `x Wᵀ + b + residual` with the adapters' shares.
    fn apply(&mut self, name: &str, x: Tensor, layer: &Linear, residual: Option<Tensor>) -> Tensor {
        let y = self.tape.linear(name, x, [&layer.weight, &layer.bias], residual);
        for adapter in &layer.adapters {
            let dropout = Dropout { control: self.inputs.control, site: adapter.site, p: self.rates.adapter };
            self.tape.adapt(y, x, adapter, dropout);
        }
        y
    }
}

impl Recorder for TapeRecorder {
    type Linear = Linear;
    type LayerNorm = LayerNorm;

    fn linear(&mut self, name: &str, x: Tensor, layer: &Linear, activation: Activation) -> Tensor {
        if activation == Activation::Linear {
            return self.apply(name, x, layer, None);
        }
        let y = self.apply(&format!("{name}.linear"), x, layer, None);
        self.tape.activate(name, y, activation)
    }

    /// In one op if nothing is dropped.
    fn add_linear(&mut self, name: &str, x: Tensor, layer: &Linear, site: DropoutSite, residual: Tensor) -> Tensor {
        let dropout = self.at(site);
        if dropout.p == 0.0 {
            return self.apply(name, x, layer, Some(residual));
        }
        let y = self.apply(&format!("{name}.linear"), x, layer, None);
        self.tape.dropout(name, y, dropout, Some(residual))
    }

    fn layer_norm(&mut self, name: &str, x: Tensor, norm: &LayerNorm, eps: f32) -> Tensor {
        self.tape.layer_norm(name, x, [&norm.gain, &norm.offset], eps)
    }

    fn attention(&mut self, name: &str, qkv: Tensor, bounds: Tensor, heads: u32, site: DropoutSite) -> Tensor {
        let dropout = self.at(site);
        self.tape.attention(name, qkv, bounds, heads, dropout)
    }

    fn dropout(&mut self, name: &str, x: Tensor, site: DropoutSite) -> Tensor {
        let dropout = self.at(site);
        if dropout.p == 0.0 { x } else { self.tape.dropout(name, x, dropout, None) }
    }

    fn gather(&mut self, name: &str, x: Tensor, picked: Tensor) -> Tensor {
        let (_, sorted) = self.inputs.picked.expect("a language model has picked tokens");
        self.tape.gather(name, x, picked, sorted)
    }

    fn first(&mut self, name: &str, x: Tensor, bounds: Tensor) -> Tensor {
        let sorted = self.inputs.first.expect("a pooler has first tokens");
        self.tape.first(name, x, bounds, sorted)
    }

    fn segment(&mut self, x: Tensor, record: impl Fn(&mut Self, Tensor) -> Tensor + 'static) -> Tensor {
        if !self.checkpoints {
            return record(self, x);
        }
        let (inputs, rates) = (self.inputs, self.rates);
        self.tape.checkpoint(x, move |tape, x| {
            let tape_so_far = std::mem::take(tape);
            let mut recorder = Self { tape: tape_so_far, inputs, rates, checkpoints: false };
            let y = record(&mut recorder, x);
            *tape = recorder.tape;
            y
        })
    }
}
