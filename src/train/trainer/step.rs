//! Training steps: a batch with its labels goes forward, back, and into the parameters.

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
use crate::train::parameters::params::{Entry, Params};
use crate::train::parameters::unknown;
use crate::train::trainer::model::{Inputs, TrainedModel};
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
    model: TrainedModel,
    /// The lists. Each is recorded when it is first used.
    logits: Option<Recorded<Inputs>>,
    gradients: Option<Recorded<Inputs>>,
    update: Option<Recorded<Tensor>>,
    /// The squared norm of all gradients at the last update.
    squared_norm: PersistentTensor,
    at: Counters,
    /// The number of batches at the last update. If later batches are forgotten, their numbers are used again.
    kept: u64,
}

/// The position of a training. With the trained [states](Trainer::trained), it is all that a resumed training needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// The optimizer steps.
    pub steps: u64,
    /// The batches whose gradients counted. Each batch has its own dropout.
    pub batches: u64,
}

impl Trainer {
    /// Loads a model with this head for training. Tensors of the head that the checkpoint lacks get values from the
    /// seed.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]; [`Error::Unsupported`] for a head without a loss, and for an adapter over a base in 8
    /// bits; [`Error::Option`] for impossible adapters, an optimizer out of range, or too many frozen layers;
    /// [`Error::Input`] for a classifier without classes; [`Error::Memory`], [`Error::Gpu`].
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
        let is_classifier = head.is_classifier();
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
        let model = TrainedModel::load(&mut params, &checkpoint, head, &options)?;
        let squared_norm = device.state("squared_norm", 1, 1)?;
        Ok(Self {
            device,
            checkpoint,
            head,
            options,
            params,
            model,
            logits: None,
            gradients: None,
            update: None,
            squared_norm,
            at: Counters::default(),
            kept: 0,
        })
    }

    /// The names of the tensors that the checkpoint lacked.
    pub fn seeded(&self) -> &[String] {
        &self.params.seeded
    }

    /// The number of optimizer steps so far.
    pub fn steps(&self) -> u64 {
        self.at.steps
    }

    /// The numbers of steps and batches so far.
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

    /// The options. An adapter's targets are changed to names that match no other layers.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The head that is trained.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The states that training changes: each trained parameter and its two moments, with unique names. Gradients are
    /// not among them, because they are zero after an [`update`](Self::update).
    pub fn trained(&self) -> impl Iterator<Item = &PersistentTensor> {
        self.params.entries.iter().flat_map(Entry::trained)
    }

    /// Continues from the position of another run. `values` returns the values that each of the
    /// [`trained`](Self::trained) states had there. The following steps have the same bits as they would have had
    /// there.
    ///
    /// # Errors
    /// Those of `values`; [`Error::Input`] if it returns another number of elements. After an error, the trainer must
    /// not be used.
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

    /// Prepares for batches up to this size. Then a run plans only once, and it computes each batch with the same
    /// kernels, regardless of the batches before.
    ///
    /// # Errors
    /// The device's errors.
    pub async fn reserve(&mut self, largest: BatchSizes) -> Result<()> {
        let mut recorded = self.gradients.take().unwrap_or_else(|| self.record(TrainedModel::record));
        let outcome = recorded.plan(&self.device, largest).await;
        self.gradients = Some(recorded);
        outcome
    }

    /// Everything besides data and options that decides the bits of a run: the variants of each op, for the gradients
    /// and for the optimizer's step. If it is equal for two trainers with the same state, they continue in the same
    /// way. It does not depend on the batches.
    pub fn kernels(&mut self) -> BTreeMap<String, String> {
        let gradients = self.gradients.take().unwrap_or_else(|| self.record(TrainedModel::record));
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

    /// The bytes on the device that the largest batch so far takes for activations and their gradients.
    pub fn activation_bytes(&self) -> u64 {
        self.gradients.as_ref().map_or(0, Recorded::bytes)
    }

    /// Adds the gradients of a batch, times `share`, to those so far. Returns the batch's loss, times `share`.
    ///
    /// # Errors
    /// [`Error::Input`] for labels that do not fit, [`Error::Diverged`] for a loss that is not finite, and the device's
    /// errors. After an error, the gradients are zero.
    pub async fn accumulate(&mut self, batch: &Batch, labels: &Labels<'_>, share: f32, cancel: &Cancel) -> Result<f64> {
        let mut recorded = self.gradients.take().unwrap_or_else(|| self.record(TrainedModel::record));
        let outcome = match targets::of(&self.checkpoint, (self.head, self.model.problem()), batch, labels, share) {
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
            // Some of them were already added.
            Err(_) => self.forget_gradients(),
        }
        outcome
    }

    /// Calls [`accumulate`](Self::accumulate), then [`update`](Self::update).
    ///
    /// # Errors
    /// Those of both.
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

    /// Takes the optimizer's step with all gradients so far, and sets them to zero. The step is short and cannot be
    /// cancelled. Returns the norm of all gradients together, before clipping.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the norm is not finite: then no parameter changes, and the step does not count. The
    /// device's errors. [`Error::Option`] for an invalid rate, [`Error::Input`] if no batch was accumulated, because
    /// the moments alone would change the parameters.
    pub async fn update(&mut self, rate: f64) -> Result<f32> {
        if !((rate as f32).is_finite() && rate >= 0.0) {
            self.forget_gradients();
            return Err(Error::Option {
                name: "rate",
                problem: format!("invalid learning rate {rate}: it must be finite and at least 0"),
                help: "Give one such as 5e-5".into(),
            });
        }
        if self.at.batches == self.kept {
            return Err(Error::Input {
                problem: "there are no gradients for a step".into(),
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
        let norm = squared[0].sqrt();
        if !norm.is_finite() {
            self.at.batches = self.kept;
            return Err(self.diverged(format!("the norm of the gradients is {norm}")));
        }
        self.at.steps += 1;
        self.kept = self.at.batches;
        Ok(norm)
    }

    /// Checks values of the model before they are stored.
    ///
    /// # Errors
    /// [`Error::Diverged`] names the tensor and a value that is not finite.
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

    /// The error for the next step.
    fn diverged(&self, problem: String) -> Error {
        let help = "The step was not taken, the model is as before it: go on with a smaller learning rate, or, if what it \
                    predicts is not finite either, from an earlier model";
        let help = help.into();
        Error::Diverged { step: self.at.steps + 1, problem, help }
    }

    /// The head's logits for a batch with the current model, without dropout, row by row: first those of a language
    /// model, `[P, V]`, then those of the linear head, `[T, L]` or `[B, L]`.
    ///
    /// # Errors
    /// The device's errors.
    pub async fn logits(&mut self, batch: &Batch, cancel: &Cancel) -> Result<Vec<Vec<f32>>> {
        let mut recorded = self.logits.take().unwrap_or_else(|| self.record(TrainedModel::record_logits));
        let outcome = self.run_batch(&mut recorded, batch, &[], cancel).await;
        self.logits = Some(recorded);
        outcome
    }

    /// Drops the gradients since the last update, as if their batches had not been used.
    pub fn forget_gradients(&mut self) {
        self.at.batches = self.kept;
        for gradient in self.params.entries.iter().map(|entry| &entry.param.gradient) {
            self.device.clear_state(gradient);
        }
    }

    /// The values of a tensor by its name in checkpoints, row by row. The name of an adapter's matrix is that of its
    /// layer, then `lora_A.weight` for `[r, K]` or `lora_B.weight` for `[N, r]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no tensor of that name, and the device's errors.
    pub async fn parameter(&self, name: &str) -> Result<Vec<f32>> {
        match self.params.find(name) {
            Some((entry, part)) => self.params.read(&entry.param.value, part).await,
            None if self.checkpoint.has(name) => Ok(self.checkpoint.get(name)?.to_f32()),
            None => Err(unknown(name)),
        }
    }

    /// Sets a trained tensor by its name, for example to continue from an adapter.
    ///
    /// # Errors
    /// [`Error::Input`] if no trained tensor has that name, or if the number of values differs.
    pub async fn set_parameter(&self, name: &str, values: &[f32]) -> Result<()> {
        let (entry, part) = self.params.find(name).ok_or_else(|| unknown(name))?;
        self.params.write(&entry.param.value, part, values).await
    }

    /// The gradient of a tensor since the last step; `None` if it is not trained.
    ///
    /// # Errors
    /// As for [`parameter`](Self::parameter).
    pub async fn gradient(&self, name: &str) -> Result<Option<Vec<f32>>> {
        match self.params.find(name) {
            Some((entry, part)) => self.params.read(&entry.param.gradient, part).await.map(Some),
            None if self.checkpoint.has(name) => Ok(None),
            None => Err(unknown(name)),
        }
    }

    /// The names of the trained tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.params.entries.iter().flat_map(|e| e.parts.iter().map(|p| p.name.as_str()))
    }

    fn record(&self, what: impl Fn(&TrainedModel, Tape, Tensor) -> (Tape, Inputs, Vec<Tensor>)) -> Recorded<Inputs> {
        let mut tape = Tape::new();
        let control = control(tape.graph());
        let (tape, inputs, outputs) = what(&self.model, tape, control);
        Recorded::new(tape.into_graph().finish(&outputs), inputs)
    }

    /// Records the optimizer's step for every trained parameter.
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
        // This also checks the ids against the tables.
        embeddings::gather(&self.checkpoint, batch, &mut sum)?;
        if let Some(embedded) = inputs.embedded {
            fed.push((embedded.id, bytemuck::cast_slice(&sum).to_vec()));
        }
        if let Some((ids, sorted)) = inputs.ids {
            let columns = [&batch.ids, &batch.types, &batch.positions];
            let words = (0..batch.tokens()).flat_map(|t| columns.map(|column| column[t])).collect();
            fed.push((ids.id, words));
            // As in transformers, the padding token has no gradient in the table of words.
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

    /// The words of the input [`control`].
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

/// The input with the step's key, its rate, and the two corrections of the moments' bias: `[1, 4]`.
fn control(g: &mut Graph) -> Tensor {
    g.input("control", Rows::Fixed(1), 4)
}
