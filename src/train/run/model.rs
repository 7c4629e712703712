//! The model of a run: its base with the head that the task wants, and the directory that it is saved to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data::{Data, Task};
use super::fingerprint::Fingerprint;
use crate::checkpoint::adapter::{Adapter, Base, Lora, Tensor};
use crate::checkpoint::source::read_small;
use crate::checkpoint::{Checkpoint, Param, names};
use crate::config::Config;
use crate::device::Device;
use crate::error::{Error, Result, clip};
use crate::text::Tokenizer;
use crate::train::{Method, TrainOptions, Trainer, save};

/// A base that is ready to be trained for a task.
#[derive(Debug)]
pub(super) struct Model {
    pub trainer: Trainer,
    /// The text of the trained model's `config.json`.
    config: Vec<u8>,
    base: PathBuf,
    /// The same as an adapter's file says it.
    origin: Base,
}

/// How many names a notice lists.
const LISTED: usize = 6;

impl Model {
    /// Opens a base directory for a task, whose classes may become the base's. What people should know is given to `notice`.
    ///
    /// # Errors
    /// What [`Checkpoint::open`], [`Tokenizer::load`] and [`Trainer::new`] refuse.
    pub fn open(
        (base, name): (&Path, Option<&str>),
        (task, data): (&Task, &mut Data),
        device: Arc<Device>,
        options: TrainOptions,
        mut notice: impl FnMut(String),
    ) -> Result<(Self, Tokenizer)> {
        let checkpoint = Checkpoint::open(base)?;
        let origin = match &options.method {
            Method::Lora(_) => origin(base, name, &checkpoint)?,
            _ => Base::default(),
        };
        let tokenizer = Tokenizer::load(base, checkpoint.config().vocab_size)?;
        let is_known = data.is_known_to(task, checkpoint.config());
        let path = base.join("config.json");
        let file = path.display().to_string();
        let config = save::config(&read_small(&path, MAX_CONFIG)?, &file, data.purpose(task))?;
        let parsed = Config::from_json(&config, &file)?;
        // Those of the heads that a new one takes the place of.
        let keeps: Vec<String> = match is_known {
            true => names::params(&parsed, task.head()).map(|param| param.name).collect(),
            false => Vec::new(),
        };
        let stem = |name: &str| name.strip_suffix(".scale").unwrap_or(name).to_owned();
        let drops = |name: &str| {
            let name = names::param(&parsed, &stem(name)).map_or(stem(name), |param| param.name);
            names::HEADS.iter().any(|(prefix, _)| name.starts_with(prefix)) && !keeps.contains(&name)
        };
        let (mut dropped, mut unknown) = (Vec::new(), Vec::new());
        for (name, _) in checkpoint.tensors() {
            let modern = names::modern(name);
            // A tied decoder is stored a second time by some.
            if drops(&modern)
                && !(is_known && names::param(&parsed, &modern).is_some_and(|p| p.name == names::OWN_DECODER))
            {
                dropped
                    .extend(names::HEADS.iter().find(|(prefix, _)| modern.starts_with(prefix)).map(|(_, what)| *what));
            } else if names::param(&parsed, &stem(&modern)).is_none() && !modern.ends_with("position_ids") {
                unknown.push(clip(name));
            }
        }
        dropped.dedup();
        if !dropped.is_empty() {
            notice(format!("dropped: the base's head for {}", dropped.join(", ")));
        }
        if !unknown.is_empty() {
            notice(format!("dropped: {}", listed(&unknown)));
        }
        let checkpoint = checkpoint.recast(parsed.clone(), drops)?;
        let trainer = Trainer::new(checkpoint, task.head(), device, options)?;
        if !trainer.seeded().is_empty() {
            notice(format!("new, from the seed: {}", listed(trainer.seeded())));
        }
        Ok((Self { trainer, config, base: base.into(), origin }, tokenizer))
    }

    /// A sum over what the run goes on from beside its checkpoint: configuration and weights.
    pub fn fingerprint(&self) -> u64 {
        let mut sum = Fingerprint::new();
        sum.add(&self.config);
        for (name, bytes) in self.trainer.checkpoint().tensors() {
            sum.add(name.as_bytes());
            sum.add(bytes);
        }
        sum.value()
    }

    /// Saves the model as it is now as a Hugging Face directory; adapters as `peft` has them, with the head.
    ///
    /// # Errors
    /// What a device may return, [`Error::Io`](crate::Error::Io).
    pub async fn save(&self, out: &Path) -> Result<()> {
        if let Method::Lora(lora) = &self.trainer.options().method {
            return self.adapter(lora).await?.save(&self.base, out, &self.config);
        }
        let config = self.trainer.checkpoint().config();
        let mut tensors: Vec<(Param, Vec<f32>)> = Vec::new();
        for param in names::params(config, self.trainer.head()) {
            let values = self.trainer.parameter(&param.name).await?;
            tensors.push((param, values));
        }
        save::save(&self.base, out, &self.config, &tensors)
    }

    async fn adapter(&self, lora: &Lora) -> Result<Adapter> {
        let config = self.trainer.checkpoint().config();
        let mut tensors = Vec::new();
        for name in self.trainer.names() {
            let values = self.trainer.parameter(name).await?;
            let rest = values.len() / lora.r.max(1);
            let shape = match names::param(config, name) {
                Some(param) if param.is_vector => vec![param.cols],
                Some(param) => vec![param.rows, param.cols],
                None if name.ends_with(".lora_A.weight") => vec![lora.r, rest],
                None => vec![rest, lora.r],
            };
            tensors.push(Tensor { name: name.to_owned(), shape, values });
        }
        Ok(Adapter { lora: lora.clone(), base: self.origin.clone(), head: Some(self.trainer.head()), tensors })
    }
}

const MAX_CONFIG: u64 = 16 << 20;

/// Where a base is to be found again: a model's name on the Hub, or an absolute path; and what it was.
fn origin(base: &Path, name: Option<&str>, checkpoint: &Checkpoint) -> Result<Base> {
    let sha256 = Some(checkpoint.sha256());
    if let Some(name) = name {
        let (model, revision) = name.split_once('@').map_or((name, None), |(model, revision)| (model, Some(revision)));
        return Ok(Base { model: model.into(), revision: revision.map(str::to_owned), sha256 });
    }
    let path = base.canonicalize().map_err(|e| Error::io("open", base, e))?;
    Ok(Base { model: path.to_string_lossy().into_owned(), revision: None, sha256 })
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
