//! A model in training.

use std::collections::{BTreeMap, BTreeSet};

use js_sys::{Array, Float32Array, Uint8Array};
use serde::Deserialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::examples::{Example, Query, Reader, of_example};
use super::json::parse;
use super::{CancelToken, Files, Host};
use crate::checkpoint::adapter::Base;
use crate::checkpoint::names;
use crate::checkpoint::{Checkpoint, Head};
use crate::config::{Config, ProblemType};
use crate::device::Cancel;
use crate::error::{Error, Result, clip, clip_message};
use crate::model::BATCH_TOKENS;
use crate::ops::adamw::AdamW;
use crate::tasks::pack::{Key, Packer, Rows};
use crate::tasks::squad::SquadOptions;
use crate::text::windows::WindowOptions;
use crate::train::evaluation::Learner;
use crate::train::examples::collate::Collated;
use crate::train::examples::data::Classes;
use crate::train::examples::random::Random;
use crate::train::trainer::save::{self, Purpose};
use crate::train::{Adapters, Method, TrainOptions, trainer::step::Trainer};

/// Sets the masks of language modelling apart from other uses of the same seed.
const MASKS: u64 = 2;

const CONFIG: &str = "config.json";

/// A model loaded to be trained for one task.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Training {
    trainer: Trainer,
    reader: Reader,
    seed: u64,
    /// The trained model's files beside its weights.
    files: BTreeMap<String, Vec<u8>>,
}

/// What is trained, and how.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OptionsJson {
    labels: Option<Vec<String>>,
    problem_type: Option<String>,
    method: Option<String>,
    lora_r: Option<usize>,
    lora_alpha: Option<f32>,
    lora_dropout: Option<f32>,
    lora_targets: Option<Vec<String>>,
    freeze_layers: usize,
    freeze_embeddings: bool,
    dropout: bool,
    seed: u64,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    weight_decay: f32,
    max_grad_norm: f32,
    correct_bias: bool,
    checkpoint_activations: bool,
    max_seq_len: Option<usize>,
    doc_stride: Option<usize>,
}

impl Default for OptionsJson {
    fn default() -> Self {
        let TrainOptions {
            freeze_layers,
            freeze_embeddings,
            dropout,
            seed,
            optimizer,
            corrects_bias,
            checkpoint_activations,
            ..
        } = TrainOptions::default();
        let AdamW { beta1, beta2, eps, decay, max_norm } = optimizer;
        Self {
            labels: None,
            problem_type: None,
            method: None,
            lora_r: None,
            lora_alpha: None,
            lora_dropout: None,
            lora_targets: None,
            freeze_layers,
            freeze_embeddings,
            dropout,
            seed,
            beta1,
            beta2,
            epsilon: eps,
            weight_decay: decay,
            max_grad_norm: max_norm,
            correct_bias: corrects_bias,
            checkpoint_activations,
            max_seq_len: None,
            doc_stride: None,
        }
    }
}

/// What a call asks for.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    /// The gradients of a batch, times `share`, and with a rate the optimizer's step after them.
    Step { examples: Vec<Example>, share: f32, rate: Option<f64> },
    /// The optimizer's step alone.
    Update { rate: f64 },
    /// No step: the gradients since the last one are dropped.
    Forget,
    /// The head's logits.
    Predict { examples: Vec<Example> },
    /// The trained model's files: an adapter's, of what is called `base`, or merged into it.
    Export { merged: bool, base: Option<String>, revision: Option<String> },
}

#[wasm_bindgen]
impl Training {
    /// Loads a model of `files` to be trained for a task. `options` say how, as JSON.
    ///
    /// # Errors
    /// What the crate refuses: files that are broken or of another kind of model, options, too large a model.
    pub fn load(task: &str, mut files: Files, host: &Host, options: &str) -> Result<Training> {
        let options: OptionsJson = parse(options)?;
        let head = head_of(task)?;
        let mut beside = files.beside();
        let (checkpoint, tokenizer) = files.open(None)?;
        let max_len = tokenizer.max_len(checkpoint.config().max_position_embeddings);
        let lengths = WindowOptions::new(max_len, options.max_seq_len, options.doc_stride)?;
        let windows = SquadOptions { lengths, ..SquadOptions::default() };
        let max_len = options.max_seq_len.unwrap_or(max_len);

        let (checkpoint, config) = recast(checkpoint, head, &options, beside.get(CONFIG).map_or(&[], Vec::as_slice))?;
        beside.insert(CONFIG.into(), config);
        let config = checkpoint.config();
        let reader = Reader {
            tokenizer,
            kind: config.trained_problem(),
            classes: classes_of(config),
            vocab: config.vocab_size as u32,
            max_len,
            windows,
        };
        let seed = options.seed;
        let trainer = Trainer::new(checkpoint, head, host.device.clone(), options.checked()?)?;
        Ok(Training { trainer, reader, seed, files: beside })
    }

    /// Does what the request says, as JSON: `{"kind": "step", "examples": […], "share": 1, "rate": 1e-5}` resolves to the
    /// loss and the gradients' norm; without a rate it adds gradients alone, that `{"kind": "update", "rate": …}` takes its
    /// step with, and gives the norm of, or that `forget` drops. `predict` resolves to `[example, columns, logits]` for each
    /// sequence, `export` to `[name, bytes]` for each file.
    ///
    /// # Errors
    /// `input` and `data` for examples, `option`, `diverged`, the device's faults, `cancelled`. The model stays as it was.
    pub async fn run(&mut self, request: String, cancel: &CancelToken) -> Result<JsValue> {
        let cancel = cancel.0.clone();
        let request = serde_json::from_str(&request).map_err(|e| Error::Input {
            problem: format!("invalid examples: {}", clip_message(&e)),
            help: "Give examples of the names and types that the documentation lists".into(),
        })?;
        match request {
            Request::Step { examples, share, rate } => self.step(&examples, share, rate, &cancel).await,
            Request::Update { rate } => Ok(self.trainer.update(rate).await?.into()),
            Request::Forget => {
                self.trainer.forget_gradients();
                Ok(JsValue::UNDEFINED)
            }
            Request::Predict { examples } => self.predict(&examples, &cancel).await,
            Request::Export { merged, base, revision } => self.export(merged, base, revision).await,
        }
    }
}

impl Training {
    async fn step(&mut self, examples: &[Example], share: f32, rate: Option<f64>, cancel: &Cancel) -> Result<JsValue> {
        // Each batch has masks of its own, and the same again if it is given again.
        let batch = self.trainer.counters().batches;
        let lesson = |(at, example): (u64, &Example)| {
            let mut random = Random::new(self.seed, &[MASKS, batch, at]);
            self.reader.lesson(example, &mut random).map_err(|error| of_example(at, error))
        };
        let features: Vec<_> = (0..).zip(examples).map(lesson).collect::<Result<_>>()?;
        let features = features.concat();
        if features.is_empty() {
            return Err(Error::Input {
                problem: "there is nothing to learn from".into(),
                help: "Give at least one example that is not empty".into(),
            });
        }
        let collated = Collated::of(&features)?;
        let (batch, labels) = (&collated.batch, collated.labels());
        let loss = self.trainer.accumulate(batch, &labels, share, cancel).await?;
        let norm = match rate {
            Some(rate) => self.trainer.update(rate).await?.into(),
            None => JsValue::UNDEFINED,
        };
        Ok([loss.into(), norm].into_iter().collect::<Array>().into())
    }

    async fn predict(&mut self, examples: &[Example], cancel: &Cancel) -> Result<JsValue> {
        let mut queries = Vec::new();
        for (at, example) in (0_u32..).zip(examples) {
            let of = self.reader.query(example).map_err(|error| of_example(at.into(), error))?;
            queries.extend(of.into_iter().map(|query| (at, query)));
        }
        let found = Array::new();
        let mut take = |(at, _): Key, rows: Rows<'_>| {
            let (example, Query { rows: wanted, .. }) = &queries[at];
            let values = match wanted {
                None => rows.values.to_vec(),
                Some(wanted) => {
                    let own: Vec<&[f32]> = rows.iter().collect();
                    let none = vec![f32::NAN; rows.cols];
                    wanted.iter().flat_map(|at| at.map_or(none.as_slice(), |at| own[at])).copied().collect()
                }
            };
            let values = JsValue::from(Float32Array::from(values.as_slice()));
            let parts = [JsValue::from(*example), JsValue::from(rows.cols as u32), values];
            found.push(&parts.into_iter().collect::<Array>());
        };
        let learner = Learner { trainer: &mut self.trainer, batch_tokens: BATCH_TOKENS };
        let mut packer = Packer::new(learner, cancel);
        for (at, (_, query)) in queries.iter().enumerate() {
            packer.push((at, 0), &query.item, &mut take).await?;
        }
        packer.run(&mut take).await?;
        Ok(found.into())
    }

    async fn export(&self, merged: bool, base: Option<String>, revision: Option<String>) -> Result<JsValue> {
        let file = |name: &str, bytes: &[u8]| -> JsValue {
            [JsValue::from(name), Uint8Array::from(bytes).into()].into_iter().collect::<Array>().into()
        };
        let base = base.filter(|name| !name.is_empty());
        let is_adapter = !merged && matches!(self.trainer.options().method, Method::Lora(_));
        if is_adapter && base.is_none() {
            return Err(Error::Option {
                name: "base",
                problem: "adapters name the model that they are of, and this one has no name on the Hub".into(),
                help: "Give its name there, or its directory, or ask for one model of both by merged".into(),
            });
        }
        let base = Base { model: base.unwrap_or_default(), revision, sha256: None };
        let made = save::model_files(&self.trainer, base, merged).await?;
        let beside = self.files.iter().map(|(name, bytes)| file(name, bytes));
        Ok(beside.chain(made.iter().map(|(name, bytes)| file(name, bytes))).collect::<Array>().into())
    }
}

impl OptionsJson {
    /// As the trainer takes them.
    fn checked(&self) -> Result<TrainOptions> {
        let adapters = Adapters {
            r: self.lora_r,
            alpha: self.lora_alpha,
            dropout: self.lora_dropout,
            targets: self.lora_targets.clone(),
        };
        let method = Method::named(self.method.as_deref().unwrap_or("full"), adapters)?;
        Ok(TrainOptions {
            method,
            freeze_layers: self.freeze_layers,
            freeze_embeddings: self.freeze_embeddings,
            dropout: self.dropout,
            seed: self.seed,
            optimizer: AdamW {
                beta1: self.beta1,
                beta2: self.beta2,
                eps: self.epsilon,
                decay: self.weight_decay,
                max_norm: self.max_grad_norm,
            },
            corrects_bias: self.correct_bias,
            checkpoint_activations: self.checkpoint_activations,
        })
    }
}

fn head_of(task: &str) -> Result<Head> {
    match task {
        "question-answering" => Ok(Head::QuestionAnswering),
        "text-classification" => Ok(Head::SequenceClassification),
        "token-classification" => Ok(Head::TokenClassification),
        "fill-mask" => Ok(Head::MaskedLm),
        _ => Err(Error::Option {
            name: "task",
            problem: format!("the task '{}' cannot be trained", clip(task)),
            help: "Use question-answering, text-classification, token-classification or fill-mask".into(),
        }),
    }
}

/// The model as it is to be trained, and its configuration's text. A head of the same classes goes on; any other is left
/// out, and the trainer seeds a new one.
fn recast(checkpoint: Checkpoint, head: Head, options: &OptionsJson, config: &[u8]) -> Result<(Checkpoint, Vec<u8>)> {
    let base = checkpoint.config();
    check_labels(head, options)?;
    if options.labels.is_none() && head.is_classifier() {
        base.check_labels()?;
    }
    let kind = options.problem_type.as_deref().map(kind_named).transpose()?;
    let knows_all = options.labels.as_ref().is_none_or(|labels| labels == classes_of(base).names());
    let is_kind = kind.is_none_or(|kind| kind == base.trained_problem());
    let is_same = checkpoint.require(head).is_ok() && base.is_architecture(head.architecture());
    let is_text = head == Head::SequenceClassification;
    // A value is one output, however many classes the base tells apart.
    let one = [String::from("LABEL_0")];
    let own = classes_of(base);
    let labels = match &options.labels {
        Some(labels) => labels.as_slice(),
        None if is_text && kind == Some(ProblemType::Regression) && base.num_labels() != 1 => &one,
        None => own.names(),
    };
    let labels = (is_text || head == Head::TokenClassification).then_some(labels);
    let purpose = Purpose { head, labels, kind: is_text.then(|| kind.unwrap_or_else(|| base.trained_problem())) };
    let text = save::config(config, CONFIG, purpose)?;
    let known = match head {
        Head::SequenceClassification | Head::TokenClassification => is_same && knows_all && is_kind,
        _ => checkpoint.require(head).is_ok(),
    };
    Ok((checkpoint.recast(Config::from_json(&text, CONFIG)?, |name| !known && names::head_of(name).is_some())?, text))
}

/// Classes have names of their own, and there are several to tell apart, where the task has any.
fn check_labels(head: Head, options: &OptionsJson) -> Result<()> {
    let wrong = |name, problem: String, help: &str| Err(Error::Option { name, problem, help: help.into() });
    let is_text = head == Head::SequenceClassification;
    let needless = [
        ("labels", options.labels.is_some() && !is_text && head != Head::TokenClassification),
        ("problem_type", options.problem_type.is_some() && !is_text),
        ("docStride", options.doc_stride.is_some() && head != Head::QuestionAnswering),
    ];
    if let Some((name, _)) = needless.into_iter().find(|(_, is_given)| *is_given) {
        return wrong(name, "the task has no use for it".into(), "Leave it out");
    }
    let Some(labels) = &options.labels else { return Ok(()) };
    let mut seen = BTreeSet::new();
    let names = "Give the classes' names, by their numbers";
    let may_be_one = matches!(options.problem_type.as_deref(), Some("regression" | "multi_label_classification"));
    match labels.iter().find(|label| !seen.insert(*label)) {
        Some(twice) => wrong("labels", format!("'{}' is there twice", clip(twice)), names),
        None if labels.is_empty() => wrong("labels", "there are none".into(), names),
        None if labels.len() == 1 && is_text && !may_be_one => {
            wrong("labels", "one alone tells nothing apart".into(), "Give several, or a problemType")
        }
        None => Ok(()),
    }
}

fn kind_named(word: &str) -> Result<ProblemType> {
    ProblemType::named(word).ok_or_else(|| Error::Option {
        name: "problem_type",
        problem: format!("unknown problem type '{}'", clip(word)),
        help: format!("Use {}", ProblemType::ALL.map(ProblemType::name).join(", ")).into(),
    })
}

fn classes_of(config: &Config) -> Classes {
    Classes::listed((0..config.num_labels()).map(|class| config.label(class)).collect())
}
