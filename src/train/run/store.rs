//! The directory `run/` of a run: its last checkpoint, which is complete at any moment, and a lock.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::checkpoint::source::{Shard, map};
use crate::checkpoint::staging::Staging;
use crate::checkpoint::write::{self, Planned};
use crate::device::PersistentTensor;
use crate::error::{Error, Help, OptionName, Result, clip, clip_message, help};
use crate::files::AtomicFile;
use crate::tensor::DType;
use crate::train::trainer::step::Counters;
use crate::train::trainer::step::Trainer;

/// The position of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub counters: Counters,
    pub epoch: u64,
    /// The number of finished batches of this epoch.
    pub batch: usize,
    /// Whether an evaluation must come before the next step.
    pub is_due: bool,
    pub best: Option<Best>,
    /// The number of evaluations since the best one.
    pub since_best: u64,
    pub is_finished: bool,
    /// The bytes of the log up to here.
    pub log: u64,
    /// The tokens learnt from.
    pub tokens: u64,
}

/// The best evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub step: u64,
    /// The bits of the metric's value, because a decimal might not restore the same value.
    pub bits: u64,
}

/// The metadata beside the tensors.
#[derive(Serialize, Deserialize)]
struct Meta {
    progress: Progress,
    settings: Map<String, Value>,
}

/// The directory `run/`, which only this process uses.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    /// The system releases it when the process ends in any way.
    _lock: File,
}

/// A checkpoint that was found.
pub(super) struct Found {
    pub progress: Progress,
    pub settings: Map<String, Value>,
    shard: Shard,
}

const CHECKPOINT: &str = "checkpoint.safetensors";
const LOCK: &str = "lock";

/// The name of the checkpoint's last tensor: the SHA-256 of all bytes before it. It detects bits that flipped on a
/// disk.
const SUM: &str = "sha256";
const SUM_BYTES: usize = 32;

impl Store {
    /// Takes the output directory of a run. It must be new or empty, or that of a run to resume.
    ///
    /// # Errors
    /// [`Error::Option`] if it has other contents or another process uses it; [`Error::Io`].
    pub fn open(output: &Path, resume: bool) -> Result<Self> {
        let refused = |problem: String, help: Help| Err(Error::Option { name: "output", problem, help });
        let shown = output.display();
        if output.exists() && !output.is_dir() {
            return refused(format!("{shown} is not a directory"), "Give the path of a directory, new or old".into());
        }
        let dir = output.join("run");
        // A failed start may have left a lock or the copy of a base.
        let has_run = [CHECKPOINT, "config.json"].iter().any(|name| dir.join(name).exists());
        let was_begun = has_run || dir.join(LOCK).exists();
        if has_run && !resume {
            return refused(
                format!("{shown} has a run already"),
                help!("Continue it with ", OptionName("resume"), ", or give another directory"),
            );
        }
        if output.exists() && !was_begun && !list(output)?.is_empty() {
            return refused(format!("{shown} holds other files"), "Give a new directory".into());
        }
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("create", &dir, e))?;
        let path = dir.join(LOCK);
        let lock = File::options().create(true).write(true).truncate(false).open(&path);
        let lock = lock.map_err(|e| Error::io("write", &path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return refused(
                    format!("another process trains in {shown}"),
                    "Wait for it, or give another directory".into(),
                );
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", path, e)),
        }
        sweep(output, &dir)?;
        Ok(Self { dir, _lock: lock })
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Reads the checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] if the file is not a checkpoint.
    pub fn read(&self) -> Result<Option<Found>> {
        let path = self.path(CHECKPOINT);
        if !path.exists() {
            return Ok(None);
        }
        let broken = |problem: String| Error::Checkpoint {
            file: path.display().to_string(),
            tensor: None,
            problem,
            help: "Start the run again in another directory".into(),
        };
        let shard = map(&path).map_err(|error| match error {
            Error::Checkpoint { problem, .. } => broken(problem),
            other => other,
        })?;
        #[derive(Deserialize)]
        struct Header {
            #[serde(rename = "__metadata__")]
            metadata: BTreeMap<String, String>,
        }
        let Header { metadata } = serde_json::from_slice(shard.header()).map_err(|e| broken(clip_message(&e)))?;
        let text = metadata.get("run").ok_or_else(|| broken("it is not a checkpoint of a run".into()))?;
        let Meta { progress, settings } = serde_json::from_str(text).map_err(|e| broken(clip_message(&e)))?;
        let summed = shard.file_bytes().split_last_chunk::<SUM_BYTES>();
        if summed.is_none_or(|(bytes, sum)| Sha256::digest(bytes).as_slice() != sum) {
            return Err(broken("its bytes are not those that were written: the file is damaged".into()));
        }
        Ok(Some(Found { progress, settings, shard }))
    }

    /// Replaces the checkpoint in one step. It writes tensor by tensor.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Diverged`] if a value is not finite; the device's errors. After an error, the old
    /// checkpoint is unchanged.
    pub async fn write(&self, progress: &Progress, settings: &Map<String, Value>, trainer: &Trainer) -> Result<()> {
        let path = self.path(CHECKPOINT);
        let meta = Meta { progress: progress.clone(), settings: settings.clone() };
        let meta = serde_json::to_string(&meta).map_err(|e| Error::io("write", &path, e.into()))?;
        let mut states: Vec<(Planned, &PersistentTensor)> =
            trainer.trained().map(|state| (planned(state), state)).collect();
        states.sort_by(|(a, _), (b, _)| write::order(a, b));
        let mut plan: Vec<Planned> = states.iter().map(|(planned, _)| planned.clone()).collect();
        plan.push(Planned { name: SUM.into(), dtype: DType::I8, shape: vec![SUM_BYTES as u32] });
        let mut file = AtomicFile::create(&path)?;
        let mut sum = Sha256::new();
        let header = write::header_with(&plan, &[("run", &meta)]);
        sum.update(&header);
        file.write(&header)?;
        for (_, state) in &states {
            let values = trainer.device().read_state(state).await?;
            trainer.check_finite(state.name(), &values)?;
            let bytes = bytemuck::cast_slice(&values);
            sum.update(bytes);
            file.write(bytes)?;
        }
        file.write(&sum.finalize())?;
        file.commit()
    }
}

impl Found {
    /// The saved values of a state.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the state is missing or has another shape.
    pub fn values(&self, state: &PersistentTensor) -> Result<Vec<f32>> {
        let entry = self.shard.find(state.name());
        let wanted = planned(state);
        match entry {
            Some(entry) if entry.dtype() == Some(DType::F32) && entry.shape() == wanted.shape => {
                Ok(self.shard.bytes_of(entry).as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect())
            }
            _ => Err(Error::Checkpoint {
                file: self.shard.file.clone(),
                tensor: Some(clip(state.name())),
                problem: format!("there is no {} of the shape {:?}", clip(state.name()), wanted.shape),
                help: "Start the run again in another directory".into(),
            }),
        }
    }
}

fn planned(state: &PersistentTensor) -> Planned {
    Planned { name: state.name().into(), dtype: DType::F32, shape: vec![state.rows() as u32, state.cols() as u32] }
}

/// Describes the differences between the settings of two runs; `None` if they are the same.
pub(super) fn difference(was: &Map<String, Value>, is: &Map<String, Value>) -> Option<String> {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(value) => clip(&value.to_string()),
    };
    let names: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    // Another device has other kernels. The change of the device is enough to report.
    let is_moved = was.get("device") != is.get("device");
    let names = names.into_iter().filter(|name| !(is_moved && name.starts_with("kernels")));
    let parts = names.map(|name| (name.as_str(), text(was.get(name)), text(is.get(name))));
    let words = |(name, was, is): (&str, String, String)| match name {
        // These are fingerprints, which mean nothing to people.
        "base" | "data" | "eval" => format!("{name} has changed"),
        // The names of the command line, except for those of the optimizer.
        _ => {
            let name = name.trim_start_matches("train.").trim_start_matches("method.").replace(['.', '_'], "-");
            format!("{name} was {was}, now it is {is}")
        }
    };
    let parts: Vec<String> = parts.filter(|(_, was, is)| was != is).map(words).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The paths in a directory.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || std::fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>();
    read().map_err(|e| Error::io("read", dir, e))
}

/// Removes the partial files of a process that was killed. No other process uses this directory.
fn sweep(output: &Path, dir: &Path) -> Result<()> {
    let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Staging::sweep(output)?;
    let is_left =
        |path: &PathBuf| path.is_file() && name_of(path).starts_with('.') && name_of(path).ends_with(".partial");
    for path in list(dir)?.into_iter().filter(is_left) {
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    Ok(())
}
