//! Steps: a batch with its labels forward, back, and into the parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Head};
use crate::device::{BatchSizes, Cancel, Device, PersistentTensor, Rows, TensorId};
use crate::error::{Error, Result, clip};
use crate::graph::{Graph, Tensor};
use crate::hash::step_key;
use crate::model::embeddings;
use crate::ops::adamw::{AdamW, Moments, adamw};
use crate::ops::scatter::sorted;
use crate::ops::square_sum::square_sum;
use crate::train::autodiff::recorded::Recorded;
use crate::train::autodiff::tape::Tape;
use crate::train::parameters::lora::checked;
use crate::train::parameters::params::{Entry, Params, unknown};
use crate::train::trainer::bert::{Bert, Inputs};
use crate::train::trainer::targets;
use crate::train::{Labels, Method, TrainOptions};

/// A model in training, on a device.
#[derive(Debug)]
pub struct Trainer {
    device: Arc<Device>,
    checkpoint: Checkpoint,
    head: Head,
    options: TrainOptions,
    params: Params,
    bert: Bert,
    /// The lists, recorded when first used.
    logits: Option<Recorded<Inputs>>,
    gradients: Option<Recorded<Inputs>>,
    update: Option<Recorded<Tensor>>,
    /// That of all gradients at the last update.
    squared_norm: PersistentTensor,
    at: Counters,
    /// The batches at the last update: where those since then are forgotten, their numbers are given again.
    kept: u64,
}

/// How far a training has come: with the trained [states](Trainer::trained), all that it goes on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Optimizer steps.
    pub steps: u64,
    /// Batches whose gradients counted: each has dropout of its own.
    pub batches: u64,
}

impl Trainer {
    /// Loads a model with this head for training. What the checkpoint lacks of the head is seeded.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]; [`Error::Unsupported`] for a head that has no loss, and for an adapter over a base in 8 bits;
    /// [`Error::Option`] for adapters that there cannot be, an optimizer or more frozen layers than there are; [`Error::Input`]
    /// for a classifier without classes; [`Error::Memory`], [`Error::Gpu`].
    pub fn new(
        checkpoint: Checkpoint,
        head: Head,
        device: impl Into<Arc<Device>>,
        mut options: TrainOptions,
    ) -> Result<Self> {
        let device = device.into();
        checkpoint.has_one_tensor_a_weight()?;
        options.optimizer.check()?;
        let layers = checkpoint.config().num_hidden_layers;
        if options.freeze_layers > layers {
            return Err(Error::Option {
                name: "freeze_layers",
                problem: format!("the model has {layers} layers, not {}", options.freeze_layers),
                help: "Give at most as many as it has".into(),
            });
        }
        let is_classifier = matches!(head, Head::SequenceClassification | Head::TokenClassification);
        if is_classifier && checkpoint.config().num_labels() == 0 {
            return Err(Error::Input {
                problem: "the model has no classes".into(),
                help: "Give a configuration whose id2label names some".into(),
            });
        }
        if let Method::Lora(lora) = &options.method {
            options.method = Method::Lora(checked(lora, options.freeze_layers..layers)?);
        }
        let mut params = Params::new(device.clone());
        let bert = Bert::load(&mut params, &checkpoint, head, &options)?;
        let squared_norm = device.state("squared_norm", 1, 1)?;
        Ok(Self {
            device,
            checkpoint,
            head,
            options,
            params,
            bert,
            logits: None,
            gradients: None,
            update: None,
            squared_norm,
            at: Counters::default(),
            kept: 0,
        })
    }

    /// Names of the tensors that the checkpoint lacked.
    pub fn seeded(&self) -> &[String] {
        &self.params.seeded
    }

    /// Optimizer steps so far.
    pub fn steps(&self) -> u64 {
        self.at.steps
    }

    /// Steps and batches so far.
    pub fn counters(&self) -> Counters {
        self.at
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The checkpoint that training started from.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What it was told; an adapter's targets by names that are no other layers'.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The head that is trained.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What training changes: each trained parameter and its two moments, by names that no two have. Gradients are not
    /// among them: after an [`update`](Self::update) they are zero.
    pub fn trained(&self) -> impl Iterator<Item = &PersistentTensor> {
        self.params.entries.iter().flat_map(Entry::trained)
    }

    /// Goes on from where another run was: `values` gives what each of the [`trained`](Self::trained) states had then. The
    /// steps that follow have the bits that they would have had there.
    ///
    /// # Errors
    /// Those of `values`; [`Error::Input`] where it gives another number of elements. The trainer is of no use then.
    pub fn restore(
        &mut self,
        at: Counters,
        mut values: impl FnMut(&PersistentTensor) -> Result<Vec<f32>>,
    ) -> Result<()> {
        self.forget_gradients();
        for state in self.trained() {
            let values = values(state)?;
            if values.len() != state.len() {
                return Err(Error::Input {
                    problem: format!("{} has {} elements, not {}", state.name(), state.len(), values.len()),
                    help: "Restore what a trainer of the same model and method had".into(),
                });
            }
            self.device.write_state(state, &values);
        }
        (self.at, self.kept) = (at, at.batches);
        Ok(())
    }

    /// Makes ready for batches up to this size. A run that does so first plans once, and computes each batch by the same
    /// kernels, whatever came before it.
    ///
    /// # Errors
    /// What a device may return.
    pub async fn reserve(&mut self, largest: BatchSizes) -> Result<()> {
        let mut recorded = self.gradients.take().unwrap_or_else(|| self.record(Bert::record));
        let outcome = recorded.plan(&self.device, largest).await;
        self.gradients = Some(recorded);
        outcome
    }

    /// What the bits of a run depend on beside its data and options: the device's kernels for the gradients and for the
    /// optimizer's step, the variants of each op. Two trainers of the same state go on alike if these are equal; they
    /// do not depend on the batches.
    pub fn kernels(&mut self) -> BTreeMap<String, String> {
        let gradients = self.gradients.take().unwrap_or_else(|| self.record(Bert::record));
        let update = self.update.take().unwrap_or_else(|| self.record_update());
        let mut all = self.device.kernels(&gradients.list);
        for (op, variants) in self.device.kernels(&update.list) {
            all.entry(op).or_default().extend(variants);
        }
        self.gradients = Some(gradients);
        self.update = Some(update);
        let joined = |variants: BTreeSet<&str>| variants.into_iter().collect::<Vec<_>>().join(" ");
        all.into_iter().map(|(op, variants)| (op.to_owned(), joined(variants))).collect()
    }

    /// Bytes that the largest batch so far takes for activations and their gradients, on the device.
    pub fn activation_bytes(&self) -> u64 {
        self.gradients.as_ref().map_or(0, Recorded::bytes)
    }

    /// Adds the gradients of a batch, times `share`, to what is there; returns the batch's loss, times `share`.
    ///
    /// # Errors
    /// [`Error::Input`] for labels that do not fit, [`Error::Diverged`] for a loss that is not finite, and what a device may
    /// return; the gradients are zero then.
    pub async fn accumulate(&mut self, batch: &Batch, labels: &Labels<'_>, share: f32, cancel: &Cancel) -> Result<f64> {
        let mut recorded = self.gradients.take().unwrap_or_else(|| self.record(Bert::record));
        let outcome = match targets::of(&self.checkpoint, (self.head, self.bert.problem()), batch, labels, share) {
            Ok(targets) => self.run_batch(&mut recorded, batch, &targets, cancel).await,
            Err(error) => Err(error),
        };
        self.gradients = Some(recorded);
        let outcome = outcome.and_then(|losses| {
            let loss: f64 = losses.iter().flatten().map(|v| f64::from(*v)).sum();
            if loss.is_finite() { Ok(loss) } else { Err(self.diverged(format!("the loss is {loss}"))) }
        });
        match outcome {
            Ok(_) => self.at.batches += 1,
            // Part of them was added.
            Err(_) => self.forget_gradients(),
        }
        outcome
    }

    /// The same, then [`update`](Self::update).
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate).
    pub async fn step(
        &mut self,
        batch: &Batch,
        labels: &Labels<'_>,
        share: f32,
        rate: f64,
        cancel: &Cancel,
    ) -> Result<f64> {
        let loss = self.accumulate(batch, labels, share, cancel).await?;
        self.update(rate).await?;
        Ok(loss)
    }

    /// The optimizer's step with all gradients so far; they are zero afterwards. It is short, and not cancelled midway.
    /// Returns the norm of all gradients together, before they were clipped.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the norm is not finite: no parameter changes then, and the step does not count. What a device
    /// may return. [`Error::Option`] for a rate that is none, [`Error::Input`] where no batch was accumulated: by the moments
    /// alone parameters would move on.
    pub async fn update(&mut self, rate: f64) -> Result<f32> {
        if !((rate as f32).is_finite() && rate >= 0.0) {
            self.forget_gradients();
            return Err(Error::Option {
                name: "rate",
                problem: format!("{rate} is no learning rate"),
                help: "Give one such as 5e-5".into(),
            });
        }
        if self.at.batches == self.kept {
            return Err(Error::Input {
                problem: "there are no gradients to take a step by".into(),
                help: "Accumulate those of a batch first".into(),
            });
        }
        let one = BatchSizes { tokens: 1, sequences: 1, longest: 1, picked: 1 };
        let mut recorded = self.update.take().unwrap_or_else(|| self.record_update());
        let fed = [(recorded.inputs.id, self.control(rate))];
        self.device.write_state(&self.squared_norm, &[0.0]);
        let outcome = recorded.run(&self.device, one, &fed, &Cancel::new()).await;
        self.update = Some(recorded);
        outcome?;
        let squared = self.device.read_state(&self.squared_norm).await?;
        let norm = squared.first().copied().unwrap_or_default().sqrt();
        if !norm.is_finite() {
            self.at.batches = self.kept;
            return Err(self.diverged(format!("the norm of the gradients is {norm}")));
        }
        self.at.steps += 1;
        self.kept = self.at.batches;
        Ok(norm)
    }

    /// Checks what is to be stored of the model.
    ///
    /// # Errors
    /// [`Error::Diverged`] that names the tensor and a value that is not finite.
    pub(in crate::train) fn check_finite(&self, name: &str, values: &[f32]) -> Result<()> {
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(()),
            Some(bad) => Err(Error::Diverged {
                step: self.at.steps,
                problem: format!("{} has {bad}", clip(name)),
                help: "Go on from an earlier model, with a smaller learning rate".into(),
            }),
        }
    }

    /// What is said of the step that was to come.
    fn diverged(&self, problem: String) -> Error {
        let help = "The step was not taken, the model is as before it: go on with a smaller learning rate, or, if what it \
                    predicts is not finite either, from an earlier model";
        let help = help.into();
        Error::Diverged { step: self.at.steps + 1, problem, help }
    }

    /// The head's logits for a batch as the model is now, without dropout, row after row: first a language model's
    /// `[P, V]`, then the linear head's, `[T, L]` or `[B, L]`.
    ///
    /// # Errors
    /// What a device may return.
    pub async fn logits(&mut self, batch: &Batch, cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let mut recorded = self.logits.take().unwrap_or_else(|| self.record(Bert::record_logits));
        let outcome = self.run_batch(&mut recorded, batch, &[], cancel).await;
        self.logits = Some(recorded);
        outcome
    }

    /// Forgets the gradients since the last update: it is as if their batches had not been.
    pub fn forget_gradients(&mut self) {
        self.at.batches = self.kept;
        for gradient in self.params.entries.iter().map(|entry| &entry.param.gradient) {
            self.device.clear_state(gradient);
        }
    }

    /// The values of a tensor, by its name in checkpoints, row after row; an adapter's by that of its layer and
    /// `lora_A.weight` `[r, K]` or `lora_B.weight` `[N, r]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has none of that name, and what a device may return.
    pub async fn parameter(&self, name: &str) -> Result<Vec<f32>> {
        match self.params.find(name) {
            Some((entry, part)) => self.params.read(&entry.param.value, part).await,
            None if self.checkpoint.has(name) => Ok(self.checkpoint.get(name)?.to_f32()),
            None => Err(unknown(name)),
        }
    }

    /// Sets a trained tensor, by its name: an adapter's to go on from.
    ///
    /// # Errors
    /// [`Error::Input`] if none of that name is trained, or it has another number of values.
    pub async fn set_parameter(&self, name: &str, values: &[f32]) -> Result<()> {
        let (entry, part) = self.params.find(name).ok_or_else(|| unknown(name))?;
        self.params.write(&entry.param.value, part, values).await
    }

    /// The gradient of a tensor since the last step; `None` if it is not trained.
    ///
    /// # Errors
    /// As [`parameter`](Self::parameter).
    pub async fn gradient(&self, name: &str) -> Result<Option<Vec<f32>>> {
        match self.params.find(name) {
            Some((entry, part)) => self.params.read(&entry.param.gradient, part).await.map(Some),
            None if self.checkpoint.has(name) => Ok(None),
            None => Err(unknown(name)),
        }
    }

    /// The names of the tensors that are trained.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.params.entries.iter().flat_map(|e| e.parts.iter().map(|p| p.name.as_str()))
    }

    fn record(&self, what: impl Fn(&Bert, &mut Tape, Tensor) -> (Inputs, Vec<Tensor>)) -> Recorded<Inputs> {
        let mut tape = Tape::new();
        let control = control(tape.graph());
        let (inputs, outputs) = what(&self.bert, &mut tape, control);
        Recorded::new(tape.into_graph().finish(&outputs), inputs)
    }

    /// Records the optimizer's step of every trained parameter.
    fn record_update(&self) -> Recorded<Tensor> {
        let mut g = Graph::default();
        let control = control(&mut g);
        let gradients: Vec<_> = self.params.entries.iter().map(|entry| g.state(&entry.param.gradient)).collect();
        let norm = g.state(&self.squared_norm);
        square_sum(&mut g, &gradients, norm);
        for Entry { param, moments: [m, v], decays, .. } in &self.params.entries {
            let [p, d_p, m, v] = [&param.value, &param.gradient, m, v].map(|state| g.state(state));
            let decay = if *decays { self.options.optimizer.decay } else { 0.0 };
            let options = AdamW { decay, ..self.options.optimizer };
            adamw(&mut g, Moments { p, d_p, m, v }, control, norm, &options);
        }
        Recorded::new(g.finish(&[]), control)
    }

    async fn run_batch(
        &self,
        recorded: &mut Recorded<Inputs>,
        batch: &Batch,
        targets: &[(Vec<u32>, Vec<f32>)],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>> {
        let fed = self.feed(&recorded.inputs, batch, targets)?;
        recorded.run(&self.device, batch.sizes(), &fed, cancel).await
    }

    /// The words of every input.
    fn feed(
        &self,
        inputs: &Inputs,
        batch: &Batch,
        targets: &[(Vec<u32>, Vec<f32>)],
    ) -> Result<Vec<(TensorId, Vec<u32>)>> {
        let mut fed = vec![(inputs.control.id, self.control(0.0)), (inputs.bounds.id, batch.bounds.clone())];
        let order = |fed: &mut Vec<_>, to: crate::train::autodiff::nodes::Sorted, rows: &[u32], but: Option<u32>| {
            let (order, mut segments) = sorted(rows);
            segments.iter_mut().filter(|s| Some(s[0]) == but).for_each(|s| s[2] = s[1]);
            fed.push((to.order.id, order));
            fed.push((to.segments.id, segments.into_flattened()));
        };
        let mut sum = Vec::new();
        // Also the check of ids against the tables.
        embeddings::gather(&self.checkpoint, batch, &mut sum)?;
        if let Some(embedded) = inputs.embedded {
            fed.push((embedded.id, bytemuck::cast_slice(&sum).to_vec()));
        }
        if let Some((ids, sorted)) = inputs.ids {
            let columns = [&batch.ids, &batch.types, &batch.positions];
            let words = (0..batch.tokens()).flat_map(|t| columns.map(|column| column[t])).collect();
            fed.push((ids.id, words));
            // As in transformers, padding has no gradient in the table of words.
            let padding = [self.checkpoint.config().pad_token_id, None, None];
            for ((column, to), but) in columns.iter().zip(sorted).zip(padding) {
                order(&mut fed, to, column, but);
            }
        }
        if let Some((picked, to)) = inputs.picked {
            fed.push((picked.id, batch.picked.clone()));
            order(&mut fed, to, &batch.picked, None);
        }
        if let Some(to) = inputs.first {
            order(&mut fed, to, &batch.bounds[..batch.sequences()], None);
        }
        for (tensors, (labels, weights)) in inputs.labels.iter().flatten().zip(targets) {
            fed.push((tensors.0.id, labels.clone()));
            fed.push((tensors.1.id, bytemuck::cast_slice(weights).to_vec()));
        }
        Ok(fed)
    }

    /// The words of [`control`].
    fn control(&self, rate: f64) -> Vec<u32> {
        let key = step_key(self.options.seed, self.at.batches);
        let AdamW { beta1, beta2, .. } = self.options.optimizer;
        let t = (self.at.steps + 1) as f64;
        let corrections = match self.options.corrects_bias {
            true => [1.0 / (1.0 - f64::from(beta1).powf(t)), 1.0 / (1.0 - f64::from(beta2).powf(t)).sqrt()],
            false => [1.0; 2],
        };
        let [c1, c2] = corrections.map(|c| (c as f32).to_bits());
        vec![key, (rate as f32).to_bits(), c1, c2]
    }
}

/// The step's key, its rate, and the corrections of the moments' bias: `[1, 4]`.
fn control(g: &mut Graph) -> Tensor {
    g.input("control", Rows::Fixed(1), 4)
}
