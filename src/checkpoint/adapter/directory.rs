//! The directory of an adapter: its two files, the configuration of the adapted model, and perhaps a tokenizer. The
//! base is elsewhere.

use std::path::{Path, PathBuf};

use super::merge::Eight;
use super::{Adapter, Base, FILES, config, file};
use crate::checkpoint::header::broken;
use crate::checkpoint::source::{self, read_small};
use crate::checkpoint::{Checkpoint, companions};
use crate::config::Config;
use crate::error::{Error, Remedy, Result, clip, help};

const CONFIG: &str = FILES[0];
const WEIGHTS: &str = FILES[1];

/// The weights that PEFT wrote before 0.7.
const OLD_WEIGHTS: &str = "adapter_model.bin";

/// The largest weights of an adapter, in bytes. They may have a decoder for a large vocabulary.
const MAX_WEIGHTS: u64 = 4 << 30;

/// Whether a directory is an adapter's: it has an adapter, and no weights of a whole model.
pub(crate) fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG).is_file() && !source::WEIGHTS.iter().any(|file| dir.join(file).exists())
}

/// Opens the base with the adapter in `dir`.
pub(crate) fn open(dir: &Path, eight: Eight) -> Result<Checkpoint> {
    let adapter = Adapter::open(dir)?;
    let base = base_of(dir, &adapter.base)?;
    let checkpoint = Checkpoint::open(&base)?;
    let mut config = Config::open(if dir.join("config.json").exists() { dir } else { &base })?;
    if !dir.join("config.json").exists()
        && let Some(head) = adapter.head
    {
        config.architectures = Some(vec![head.architecture().into()]);
    }
    let file = dir.join(WEIGHTS).display().to_string();
    checkpoint.adapt_as(&adapter, config, &file, eight)
}

/// Reads the reference to the base of the adapter in `dir`, without its weights.
pub(crate) fn base(dir: &Path) -> Result<Base> {
    let path = dir.join(CONFIG);
    let json = read_small(&path, config::MAX_BYTES as u64)?;
    Ok(config::parse(&json, &path.display().to_string())?.base)
}

/// The directory of the base of the adapter in `dir`.
///
/// # Errors
/// [`Error::Config`] if it does not exist, [`Error::Unsupported`] if it is itself an adapter.
pub(crate) fn base_of(dir: &Path, base: &Base) -> Result<PathBuf> {
    let base = base_dir(dir, base)?;
    if is_adapter(&base) {
        return Err(Error::Unsupported {
            what: format!("{}: a base that is an adapter itself, {}", dir.join(CONFIG).display(), base.display()),
            help: help!("For the base, first ", Remedy::MergeAdapter),
        });
    }
    Ok(base)
}

/// Finds the base: by its path, relative to the adapter's directory or to the working directory, or in the Hub's cache.
fn base_dir(dir: &Path, base: &Base) -> Result<PathBuf> {
    let missing = |problem: String| Error::Config {
        file: dir.join(CONFIG).display().to_string(),
        problem,
        help: help!("Set base_model_name_or_path to the base's directory, or ", Remedy::FetchBase),
    };
    if base.model.is_empty() {
        return Err(missing("base_model_name_or_path is missing".into()));
    }
    let places = [dir.join(&base.model), PathBuf::from(&base.model)];
    match places.into_iter().find(|place| place.is_dir()) {
        Some(place) => Ok(place),
        None => match cached(base) {
            Some(Err(error)) if error.code() != "hub_not_cached" => Err(error),
            Some(Ok(place)) => Ok(place),
            _ => {
                Err(missing(format!("there is no base {:?}, as a directory or in the Hub's cache", clip(&base.model))))
            }
        },
    }
}

/// The directory of a base in the Hub's cache; `None` if it is not a model's name on the Hub.
#[cfg(feature = "hub")]
fn cached(base: &Base) -> Option<Result<PathBuf>> {
    let name = match &base.revision {
        Some(revision) => format!("{}@{revision}", base.model),
        None => base.model.clone(),
    };
    let id = name.parse::<crate::hub::ModelId>().ok()?;
    Some(crate::hub::Hub::from_env().and_then(|hub| hub.offline(true).model_dir(&id, &mut |_| {})))
}

#[cfg(not(feature = "hub"))]
fn cached(_: &Base) -> Option<Result<PathBuf>> {
    None
}

impl Adapter {
    /// Reads the two files of the adapter in the directory `dir`. The weights may be in `adapter_model.bin`, which PEFT
    /// wrote before 0.7.
    ///
    /// # Errors
    /// As for [`Adapter::read`]; [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let settings = config::parse(&read_small(&path, config::MAX_BYTES as u64)?, &path.display().to_string())?;
        let Some(path) = [WEIGHTS, OLD_WEIGHTS].map(|name| dir.join(name)).into_iter().find(|path| path.exists())
        else {
            let problem = format!("it has neither {WEIGHTS} nor {OLD_WEIGHTS}");
            return Err(broken(&dir.display().to_string(), None, problem, super::OTHER));
        };
        let size = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?.len();
        if size > MAX_WEIGHTS {
            let problem = format!("{size} bytes are more than any BERT's adapter has");
            return Err(broken(&path.display().to_string(), None, problem, super::OTHER));
        }
        let file = path.display().to_string();
        let shards = source::open_file(&path).map_err(|error| match error {
            Error::Checkpoint { file, tensor, problem, .. } if file.ends_with(".bin") => {
                let help =
                    "Save it again with PEFT 0.7 or later: PeftModel.from_pretrained(base, DIR).save_pretrained(DIR)";
                Error::Checkpoint { file, tensor, problem, help: help.into() }
            }
            other => other,
        })?;
        let stored: Vec<_> =
            shards.iter().flat_map(|s| s.entries.iter().map(|entry| (entry, s.bytes_of(entry)))).collect();
        let header = shards.first().map(|shard| shard.header()).unwrap_or_default();
        file::read(settings, &stored, header, &file)
    }

    /// Writes the model in `base` with this adapter to the directory `out`, completely or not at all: the adapter's
    /// files, the text of the adapted model's `config.json`, and all files of the base's directory that are read beside
    /// the weights.
    ///
    /// # Errors
    /// As for [`Adapter::write`]; [`Error::Io`]; [`Error::Option`] if `out` has files of another model.
    pub fn save(&self, base: &Path, out: &Path, config: &[u8]) -> Result<()> {
        let [json, weights] = self.write()?;
        let staging = companions::begin(base, out, &source::WEIGHTS)?;
        staging.write(CONFIG, &json)?;
        staging.write(WEIGHTS, &weights)?;
        staging.write("config.json", config)?;
        // The new files are read again before they replace anything.
        Self::open(staging.dir())?;
        staging.commit()
    }
}
