//! The model of a run: its base with the head of the task, and the directory that it is saved to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data::{Data, Task};
use crate::checkpoint::adapter::directory::{self, is_adapter};
use crate::checkpoint::adapter::{self, Adapter, Base, Eight, Lora, Tensor};
use crate::checkpoint::source::read_small;
use crate::checkpoint::{Checkpoint, TOKENIZERS, names};
use crate::config::Config;
use crate::device::Device;
use crate::error::{Error, Remedy, Result, clip, help};
use crate::files::write_atomically;
use crate::fingerprint::Fingerprint;
use crate::text::Tokenizer;
use crate::train::parameters::lora::checked;
use crate::train::{Method, TrainOptions, trainer::save, trainer::step::Trainer};

/// A base that is ready to be trained for a task.
#[derive(Debug)]
pub(super) struct Model {
    pub trainer: Trainer,
    /// The text of the trained model's `config.json`.
    config: Vec<u8>,
    /// The directory of the tokenizer.
    beside: PathBuf,
    /// The source of the weights, as an adapter's file names it.
    origin: Base,
    /// A fingerprint of everything besides the checkpoint that a run resumes from: configuration, weights and adapter.
    pub fingerprint: u64,
}

/// The most names that a notice lists.
const LISTED: usize = 6;

impl Model {
    /// Opens a base directory for a task, to be saved in `output`. The data may get the classes of the base. Messages
    /// for people go to `notice`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], [`Tokenizer::load`] and [`Trainer::new`].
    pub async fn open(
        (base, name): (&Path, Option<&str>),
        output: &Path,
        (task, data): (&Task, &mut Data),
        device: Arc<Device>,
        mut options: TrainOptions,
        mut notice: impl FnMut(String),
    ) -> Result<(Self, Tokenizer)> {
        let start = Start::of(base, &mut options, &mut notice)?;
        let (checkpoint, weights) = match &start {
            Some(start) => (start.open()?, start.base.clone()),
            None if is_adapter(base) => (directory::open(base, Eight::Widens)?, base.into()),
            None => (Checkpoint::open(base)?, base.into()),
        };
        let origin = match &options.method {
            Method::Lora(_) => origin(&weights, name.filter(|_| start.is_none()), output, &checkpoint)?,
            _ => Base::default(),
        };
        let described = Checkpoint::place_of(&["config.json"], base)?;
        let beside = Checkpoint::place_of(&TOKENIZERS, base)?;
        let known = Config::open(&described)?;
        let tokenizer = Tokenizer::load(&beside, known.vocab_size)?;
        let is_known = data.is_known_to(task, &known);
        data.check_classes()?;
        let path = described.join("config.json");
        let file = path.display().to_string();
        let config = save::config(&read_small(&path, MAX_CONFIG)?, &file, data.purpose(task))?;
        let parsed = Config::from_json(&config, &file)?;
        // The tensors of the base's head to keep. A new head replaces the others.
        let keeps: Vec<String> = match is_known {
            true => names::params(&parsed, task.head()).map(|param| param.name).collect(),
            false => Vec::new(),
        };
        let stem = |name: &str| name.strip_suffix(".scale").unwrap_or(name).to_owned();
        let starts_with = |name: &str| start.as_ref().is_some_and(|start| start.has(name));
        let drops = |name: &str| {
            let name = names::param(&parsed, &stem(name)).map_or(stem(name), |param| param.name);
            names::head_of(&name).is_some() && (!keeps.contains(&name) || starts_with(&name))
        };
        let (mut dropped, mut unknown) = (Vec::new(), Vec::new());
        for (name, _) in checkpoint.tensors() {
            let modern = names::modern(name);
            // Some checkpoints store a tied decoder a second time.
            if drops(&modern)
                && !starts_with(&modern)
                && !(is_known && names::param(&parsed, &modern).is_some_and(|p| p.name == names::OWN_DECODER))
            {
                dropped.extend(names::head_of(&modern));
            } else if names::param(&parsed, &stem(&modern)).is_none() && !modern.ends_with("position_ids") {
                unknown.push(clip(name));
            }
        }
        let of_start = start.iter().flat_map(|start| start.adapter.tensors.iter());
        dropped.extend(of_start.filter_map(|tensor| names::head_of(&tensor.name)).filter(|_| !is_known));
        dropped.dedup();
        if !dropped.is_empty() {
            notice(format!("dropped: the base's head for {}", dropped.join(", ")));
        }
        if !unknown.is_empty() {
            notice(format!("dropped: {}", listed(&unknown)));
        }
        if let Some(labels) = data.labels_in_words() {
            notice(format!("labels: {labels}"));
        }
        let checkpoint = checkpoint.recast(parsed.clone(), drops)?;
        let trainer = Trainer::new(checkpoint, task.head(), device, options)?;
        let mut seeded = trainer.seeded().to_vec();
        if let Some(start) = &start {
            let set = start.give(&trainer, &known, is_known).await?;
            seeded.retain(|name| !set.contains(name));
        }
        if !seeded.is_empty() {
            notice(format!("new, from the seed: {}", listed(&seeded)));
        }
        let mut sum = Fingerprint::new();
        sum.add(&config);
        for (name, bytes) in trainer.checkpoint().tensors() {
            sum.add(name.as_bytes());
            sum.add(bytes);
        }
        for tensor in start.iter().flat_map(|start| &start.adapter.tensors) {
            sum.add(tensor.name.as_bytes());
            sum.add(bytemuck::cast_slice(&tensor.values));
        }
        Ok((Self { trainer, config, beside, origin, fingerprint: sum.value() }, tokenizer))
    }

    /// After a resume, updates the path to the base in what was saved before.
    ///
    /// # Errors
    /// Those of [`Adapter::open`]; [`Error::Io`].
    pub fn find_base_again(&self, out: &Path) -> Result<()> {
        if !matches!(self.trainer.options().method, Method::Lora(_)) || !is_adapter(out) {
            return Ok(());
        }
        let mut adapter = Adapter::open(out)?;
        if adapter.base.model == self.origin.model && adapter.base.revision == self.origin.revision {
            return Ok(());
        }
        adapter.base = self.origin.clone();
        let [config, _] = adapter.write()?;
        write_atomically(&out.join(adapter::FILES[0]), &config)
    }

    /// Saves the current model as a Hugging Face directory. Adapters are saved in the format of `peft`, with the head.
    ///
    /// # Errors
    /// The device's errors, [`Error::Io`].
    pub async fn save(&self, out: &Path) -> Result<()> {
        if let Method::Lora(_) = self.trainer.options().method {
            let adapter = save::adapter(&self.trainer, self.origin.clone()).await?;
            return adapter.save(&self.beside, out, &self.config);
        }
        save::save(&self.beside, out, &self.config, (self.trainer.head(), &save::weights(&self.trainer).await?))
    }
}

/// An adapter from which training continues.
struct Start {
    adapter: Adapter,
    dir: PathBuf,
    base: PathBuf,
}

impl Start {
    /// The adapter in the base directory, if there is one and the method trains adapters. It sets the rank, scale and
    /// layers of the options.
    fn of(dir: &Path, options: &mut TrainOptions, notice: &mut impl FnMut(String)) -> Result<Option<Self>> {
        let Method::Lora(lora) = &mut options.method else { return Ok(None) };
        if !is_adapter(dir) {
            return Ok(None);
        }
        let adapter = Adapter::open(dir)?;
        if !adapter.beside.is_plain() {
            return Err(not_trained(
                &dir.join(adapter::FILES[0]).display().to_string(),
                "another kind than plain LoRA",
            ));
        }
        let base = directory::base_of(dir, &adapter.base)?;
        let layers = options.freeze_layers..Config::open(&base)?.num_hidden_layers;
        let modules =
            |lora: &Lora| checked(lora, layers.clone()).map_or_else(|_| lora.targets.clone(), |lora| lora.targets);
        let usual = Lora::default();
        // A default value may not have been an explicit choice.
        let wishes = [
            ("lora_r", lora.r.to_string(), usual.r.to_string(), adapter.lora.r.to_string()),
            ("lora_alpha", lora.alpha.to_string(), usual.alpha.to_string(), adapter.lora.alpha.to_string()),
            ("lora_targets", modules(lora).join(", "), modules(&usual).join(", "), modules(&adapter.lora).join(", ")),
        ];
        if let Some((name, wish, _, has)) =
            wishes.into_iter().find(|(_, wish, usual, has)| wish != usual && wish != has)
        {
            return Err(Error::Option {
                name,
                problem: format!(
                    "it is {}, and the adapter that training goes on from has {}",
                    clip(&wish),
                    clip(&has)
                ),
                help: help!("Leave it out, or first ", Remedy::MergeAdapter),
            });
        }
        let is_trained = |target: &&String| {
            layers.is_empty()
                || checked(&Lora { targets: vec![(*target).clone()], ..adapter.lora }, layers.clone()).is_ok()
        };
        if let Some(other) = adapter.lora.targets.iter().find(|target| !is_trained(target)) {
            return Err(not_trained(&dir.join(adapter::FILES[1]).display().to_string(), &clip(other)));
        }
        *lora = Lora { dropout: lora.dropout, ..adapter.lora.clone() };
        let targets = listed(&lora.targets);
        notice(format!("goes on from the base's adapter: r {}, alpha {}, targets {targets}", lora.r, lora.alpha));
        Ok(Some(Self { adapter, dir: dir.into(), base }))
    }

    fn file(&self) -> String {
        self.dir.join(adapter::FILES[1]).display().to_string()
    }

    fn open(&self) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(&self.base)?;
        checkpoint.is_base_of(&self.adapter, &self.file())?;
        Ok(checkpoint)
    }

    /// Whether it has this whole tensor, not only an update of it.
    fn has(&self, name: &str) -> bool {
        self.adapter.tensors.iter().any(|tensor| tensor.name == name)
    }

    /// Sets the trainer's values and returns their names. Values of a head are set only if `keeps_head`. `config` is
    /// that of the adapted model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the adapter changes a tensor that is not trained; the device's errors.
    async fn give(&self, trainer: &Trainer, config: &Config, keeps_head: bool) -> Result<HashSet<String>> {
        self.adapter.check(config, &self.file())?;
        let mut set = HashSet::new();
        for tensor in &self.adapter.tensors {
            // If another head is trained, the pooler also belongs to the old head.
            let is_of_head = names::head_of(&tensor.name).is_some()
                || tensor.name.starts_with("bert.pooler.") && !trainer.names().any(|name| name == tensor.name);
            if is_of_head && !keeps_head {
                continue;
            }
            if trainer.names().any(|name| name == tensor.name) {
                trainer.set_parameter(&tensor.name, &tensor.values).await?;
                set.insert(tensor.name.clone());
            } else if !self.is_said_twice(trainer, tensor).await? {
                return Err(not_trained(&self.file(), &clip(&tensor.name)));
            }
        }
        Ok(set)
    }

    /// Whether another tensor has the same values. This can be so for a decoder, which may equal the table of words,
    /// and for its bias.
    async fn is_said_twice(&self, trainer: &Trainer, tensor: &Tensor) -> Result<bool> {
        match tensor.name.as_str() {
            "cls.predictions.decoder.bias" => Ok(self.has("cls.predictions.bias")),
            names::OWN_DECODER => {
                Ok(trainer.parameter("bert.embeddings.word_embeddings.weight").await? == tensor.values)
            }
            _ => Ok(false),
        }
    }
}

fn not_trained(file: &str, part: &str) -> Error {
    Error::Unsupported {
        what: format!("{file}: to go on from an adapter of {part}, which would not be trained,"),
        help: help!("First ", Remedy::MergeAdapter),
    }
}

const MAX_CONFIG: u64 = 16 << 20;

/// The reference to a base: its name on the Hub, a path relative to the adapter's directory if it lies inside, else an
/// absolute path; and its SHA-256.
fn origin(base: &Path, name: Option<&str>, output: &Path, checkpoint: &Checkpoint) -> Result<Base> {
    let sha256 = Some(checkpoint.sha256());
    if let Some(name) = name {
        let (model, revision) = name.split_once('@').map_or((name, None), |(model, revision)| (model, Some(revision)));
        return Ok(Base { model: model.into(), revision: revision.map(str::to_owned), sha256 });
    }
    let [base, output] = [base, output].map(|path| path.canonicalize().map_err(|e| Error::io("open", path, e)));
    let base = base?;
    let path = base.strip_prefix(output?).unwrap_or(&base);
    let Some(path) = path.to_str() else {
        return Err(Error::Option {
            name: "model",
            problem: format!("the path {} is not UTF-8: an adapter cannot name it", base.display()),
            help: "Give the base by a path that is".into(),
        });
    };
    Ok(Base { model: path.into(), revision: None, sha256 })
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
