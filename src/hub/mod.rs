//! Downloads models by name from the Hugging Face Hub into the cache that all Hugging Face libraries share.
//!
//! [`Hub::model_dir`] returns the directory of a model. Read it with [`Checkpoint::open`](crate::checkpoint::Checkpoint::open) or with a task.
//! The crate `hf-hub` defines the layout of the cache. The transfer is our own: nothing that a server sends may become a path unchecked, and no
//! file may get its name before all its bytes have arrived.
//!
//! ```no_run
//! # fn main() -> cloze::Result<()> {
//! let hub = cloze::hub::Hub::from_env()?;
//! let dir = hub.model_dir(&"deepset/minilm-uncased-squad2".parse()?, &mut |_| {})?;
//! let checkpoint = cloze::checkpoint::Checkpoint::open(&dir)?;
//! # Ok(())
//! # }
//! ```

mod address;
mod id;
mod parts;
mod remote;
mod store;
mod watch;

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use address::{Address, redacted};
use hf_hub::Cache;
pub use id::ModelId;
use parts::Parts;
use remote::{Found, Meta, Remote};
use store::{Partial, State, Store};

use crate::checkpoint::source::{class_of, no_weights_among};
use crate::error::{Error, HubFault, OptionName, Result, clip, help};

/// The progress of one file's download.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file's name in the repository.
    pub file: &'a str,
    /// Bytes on disk, including those of an earlier run.
    pub loaded: u64,
    /// The size of the whole file, in bytes.
    pub total: u64,
}

/// The Hub and its cache on this machine.
#[derive(Clone)]
pub struct Hub {
    cache: Cache,
    endpoint: Address,
    token: Option<String>,
    offline: bool,
    patience: Duration,
}

/// How long to wait for a silent server.
const PATIENCE: Duration = Duration::from_secs(30);

impl std::fmt::Debug for Hub {
    /// Omits the token, and the password of the endpoint.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cache, endpoint, offline, patience, token: _ } = self;
        let endpoint = endpoint.to_string();
        let mut shown = f.debug_struct("Hub");
        shown.field("cache", cache).field("endpoint", &endpoint).field("offline", offline).field("patience", patience);
        shown.finish()
    }
}

impl Hub {
    /// Reads the environment variables of `huggingface_hub`. The cache is `HF_HUB_CACHE`, or in `HF_HOME`, `XDG_CACHE_HOME` or
    /// `~/.cache/huggingface`. The token
    /// is `HF_TOKEN`, or in the file `token` that a login wrote beside the cache. `HF_ENDPOINT` replaces `https://huggingface.co`. `HF_HUB_OFFLINE` forbids the
    /// network. `HF_HUB_DOWNLOAD_TIMEOUT` is the [`patience`](Self::patience) in seconds.
    ///
    /// # Errors
    /// [`Error::Option`] if a variable is invalid, or there is no home directory.
    pub fn from_env() -> Result<Self> {
        let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let text = |name: &str| std::env::var(name).ok().map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let home = path("HF_HOME").or_else(|| path("XDG_CACHE_HOME").map(|dir| dir.join("huggingface")));
        let cache = match path("HF_HUB_CACHE").or_else(|| home.map(|dir| dir.join("hub"))) {
            Some(dir) => Cache::new(dir),
            None if std::env::home_dir().is_some() => Cache::default(),
            None => {
                let problem = "there is no home directory for the cache of the Hugging Face Hub".into();
                return Err(Error::Option { name: "HF_HOME", problem, help: "Set HF_HOME to a directory".into() });
            }
        };
        let token = text("HF_TOKEN").or_else(|| cache.token());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let yes = |v: String| ["1", "ON", "YES", "TRUE"].contains(&v.to_ascii_uppercase().as_str());
        let hub = Self::new(cache.path().clone(), &endpoint, token)?.offline(text("HF_HUB_OFFLINE").is_some_and(yes));
        let Some(seconds) = text("HF_HUB_DOWNLOAD_TIMEOUT") else { return Ok(hub) };
        match seconds.parse() {
            Ok(seconds @ 1..=3600) => Ok(hub.patience(Duration::from_secs(seconds))),
            _ => Err(Error::Option {
                name: "HF_HUB_DOWNLOAD_TIMEOUT",
                problem: format!("{:?} is not a number of seconds", clip(&seconds)),
                help: "Give a whole number from 1 to 3600".into(),
            }),
        }
    }

    /// The Hub at `endpoint`, with the rights of `token` and the cache in the directory `cache`.
    ///
    /// # Errors
    /// [`Error::Option`] if the endpoint is not an address, or the token is invalid.
    pub fn new(cache: PathBuf, endpoint: &str, token: Option<String>) -> Result<Self> {
        if token.as_ref().is_some_and(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            let problem = "the token contains invalid characters".into();
            return Err(Error::Option { name: "HF_TOKEN", problem, help: "Copy it again".into() });
        }
        let wrong = |why: &str| Error::Option {
            name: "HF_ENDPOINT",
            problem: format!("{:?} {why}", clip(&redacted(endpoint))),
            help: "Give https://HOST, or https://HOST:PORT/PATH".into(),
        };
        let endpoint = Address::parse(endpoint).map_err(wrong)?;
        if !endpoint.is_base() {
            return Err(wrong("has a query, but a server address has none"));
        }
        Ok(Self { cache: Cache::new(cache), endpoint, token, offline: false, patience: PATIENCE })
    }

    /// Never uses the network: a file that the cache lacks is an error.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline |= offline;
        self
    }

    /// How long to wait for a silent server; 30 seconds by default. A download also ends if its server sends less than a kilobyte a second for this
    /// long.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.max(Duration::from_secs(1));
        self
    }

    /// The directory with a model's configuration, weights and tokenizer. Downloads the files that it lacks.
    ///
    /// For a branch or a tag, one request asks for its commit each time. Files of that commit that exist are not downloaded again. A commit that is complete
    /// in the cache needs no request. If the network is down, the last known commit of the branch is used. The next call continues an interrupted
    /// download. `progress` is called for every piece.
    ///
    /// # Errors
    /// [`Error::Hub`]; [`Error::Checkpoint`] if the model has no weights in a supported format, or an index names forbidden files;
    /// [`Error::Config`] if `modules.json` is malformed; [`Error::Io`].
    pub fn model_dir(&self, id: &ModelId, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
        let store = Store::new(&self.cache, id);
        let known = store.commit(id.revision());
        if self.offline {
            return cached(&store, known.as_deref(), id);
        }
        if let Some(commit) = known.as_deref().filter(|c| id::is_commit(id.revision()) && is_settled(&store, c)) {
            return Ok(store.snapshot(commit));
        }
        let remote = Remote::new(&self.endpoint, self.token.as_deref(), id, self.patience);
        let found = match first_of(&remote) {
            Err(error @ Error::Hub { fault: HubFault::Network, .. }) => {
                let dir = cached(&store, known.as_deref(), id).map_err(|_| error)?;
                tracing::warn!("the Hub cannot be reached: using the last downloaded version of {id}");
                return Ok(dir);
            }
            other => other?,
        };
        let Some((file, meta)) = found else {
            let problem = format!("there is no such model or revision, or it has no {}", parts::CONFIG);
            return Err(remote.missing(problem));
        };
        let mut fetch = Fetch { store: &store, remote: &remote, commit: &meta.commit, progress };
        let dir = store.snapshot(&meta.commit);
        if !is_settled(&store, &meta.commit) {
            fetch.file(file, &meta)?;
            match parts::walk(&dir, &mut |file| fetch.have(file))? {
                Parts::Whole => {}
                Parts::Lacks(file) => {
                    return Err(remote.missing(format!("its index names {file}, but the repository has no such file")));
                }
                Parts::NoWeights => {
                    return Err(no_weights_among(remote.list(), &id.to_string(), id.repo(), &class_of(&dir)));
                }
            }
        }
        store.set_commit(id.revision(), &meta.commit)?;
        store.sweep();
        Ok(dir)
    }
}

/// Asks for the file that every model has: config.json, or modules.json if all other files are in directories.
fn first_of(remote: &Remote<'_>) -> Result<Option<(&'static str, Meta)>> {
    for file in [parts::CONFIG, parts::MODULES] {
        if let Found::File(meta) = remote.meta(file)? {
            return Ok(Some((file, meta)));
        }
    }
    Ok(None)
}

/// Whether the cache holds all files of a commit that the Hub could provide.
fn is_settled(store: &Store, commit: &str) -> bool {
    let mut unknown = false;
    let whole = parts::walk(&store.snapshot(commit), &mut |file| {
        let state = store.state(commit, file);
        unknown |= state == State::Unknown;
        Ok(state == State::Present)
    });
    // The loader reports a file that cannot be read, because it knows more about it.
    matches!(whole, Ok(Parts::Whole)) && !unknown
}

/// The directory of a model if the network is not used.
fn cached(store: &Store, commit: Option<&str>, id: &ModelId) -> Result<PathBuf> {
    let lacking = |what: &str| Error::Hub {
        fault: HubFault::NotCached,
        what: id.to_string(),
        problem: format!("the cache has no {what} of it, and the network is off"),
        help: help!("Run it once without ", OptionName("offline"), " and HF_HUB_OFFLINE, or give a model's directory"),
    };
    let commit = commit.ok_or_else(|| lacking("revision"))?;
    let dir = store.snapshot(commit);
    let has = |file: &str| store.state(commit, file) == State::Present;
    let places = parts::places(&dir, &mut |file| Ok(has(file)))?;
    if places.is_empty() {
        return Err(lacking(parts::CONFIG));
    }
    // If the model has no tokenizer at all, the loader of tokenizers reports it.
    for place in places {
        let states = parts::TOKENIZERS.map(|file| store.state(commit, &format!("{place}{file}")));
        if !states.contains(&State::Present) && states.contains(&State::Unknown) {
            return Err(lacking("tokenizer.json or vocab.txt"));
        }
    }
    match parts::walk(&dir, &mut |file| Ok(has(file)))? {
        Parts::Whole => Ok(dir),
        Parts::Lacks(file) => Err(lacking(&file)),
        Parts::NoWeights => Err(lacking("model.safetensors")),
    }
}

/// A commit that is being downloaded into the cache.
struct Fetch<'a> {
    store: &'a Store,
    remote: &'a Remote<'a>,
    commit: &'a str,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Fetch<'_> {
    /// Whether the commit has this file. If so, the file is now on disk.
    fn have(&mut self, file: &str) -> Result<bool> {
        match self.store.state(self.commit, file) {
            State::Present => return Ok(true),
            State::Absent => return Ok(false),
            State::Unknown => {}
        }
        match self.remote.meta(file)? {
            Found::File(meta) => self.file(file, &meta).map(|()| true),
            Found::Nothing { for_good: true } => self.store.mark_absent(self.commit, file).map(|()| false),
            Found::Nothing { for_good: false } => Ok(false),
        }
    }

    fn file(&mut self, file: &str, meta: &Meta) -> Result<()> {
        if meta.commit != self.commit {
            return Err(self.remote.nonsense(file, "the model was changed while it was fetched"));
        }
        if self.store.state(self.commit, file) == State::Present {
            return Ok(());
        }
        let most = parts::most_bytes(file);
        let blob = match self.store.blob(&meta.etag, meta.size) {
            Some(blob) => blob,
            // This is checked before any byte of the file is written.
            None if meta.size > most => {
                let problem = format!("{} bytes are announced, and such a file has at most {most}", meta.size);
                return Err(self.remote.nonsense(file, &problem));
            }
            None => self.blob(file, meta)?,
        };
        self.store.link(self.commit, file, &blob)
    }

    fn blob(&mut self, file: &str, meta: &Meta) -> Result<PathBuf> {
        let mut partial = self.store.begin(&meta.etag)?;
        // Another process may have downloaded it while this one waited.
        if let Some(blob) = self.store.blob(&meta.etag, meta.size) {
            return Ok(blob);
        }
        let mut report = |loaded| (self.progress)(Progress { file, loaded, total: meta.size });
        self.remote.download(file, meta, &mut partial, &mut report)?;
        if let Some(sha256) = &meta.sha256
            && digest(&mut partial)? != *sha256
        {
            partial.clear()?;
            return Err(self.remote.nonsense(file, "its SHA-256 is not the one that was announced"));
        }
        partial.finish()
    }
}

/// The SHA-256 of all written bytes, in hexadecimal digits.
fn digest(partial: &mut Partial) -> Result<String> {
    let path = partial.path().to_owned();
    let failed = |e| Error::io("read", &path, e);
    partial.file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match partial.file.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => context.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(context.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect())
}
