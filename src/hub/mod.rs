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

/// How far the download of one file is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file's name in the repository.
    pub file: &'a str,
    /// Bytes that are here, those of an earlier run included.
    pub loaded: u64,
    /// Bytes of the whole file.
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

/// How long a silent server is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

impl std::fmt::Debug for Hub {
    /// Without the token, and without a password of the endpoint.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cache, endpoint, offline, patience, token: _ } = self;
        let endpoint = endpoint.to_string();
        let mut shown = f.debug_struct("Hub");
        shown.field("cache", cache).field("endpoint", &endpoint).field("offline", offline).field("patience", patience);
        shown.finish()
    }
}

impl Hub {
    /// As the environment says, in the words of `huggingface_hub`: the cache by `HF_HUB_CACHE`, or `HF_HOME`, or
    /// `XDG_CACHE_HOME`, or `~/.cache/huggingface`; the token by `HF_TOKEN`, or the file `token` that a login left beside
    /// the cache; `HF_ENDPOINT` instead of `https://huggingface.co`; `HF_HUB_OFFLINE`; and `HF_HUB_DOWNLOAD_TIMEOUT`, the
    /// seconds of [`patience`](Self::patience).
    ///
    /// # Errors
    /// [`Error::Option`] for a variable that cannot be used, or where there is no home directory.
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

    /// The Hub at `endpoint`, as the owner of `token`, with the cache in the directory `cache`.
    ///
    /// # Errors
    /// [`Error::Option`] for an endpoint that is no address, or a token that can be none.
    pub fn new(cache: PathBuf, endpoint: &str, token: Option<String>) -> Result<Self> {
        if token.as_ref().is_some_and(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            let problem = "the token has characters that no token has".into();
            return Err(Error::Option { name: "HF_TOKEN", problem, help: "Copy it again".into() });
        }
        let wrong = |why: &str| Error::Option {
            name: "HF_ENDPOINT",
            problem: format!("{:?} {why}", clip(&redacted(endpoint))),
            help: "Give https://HOST, or https://HOST:PORT/PATH".into(),
        };
        let endpoint = Address::parse(endpoint).map_err(wrong)?;
        if !endpoint.is_base() {
            return Err(wrong("has a query, which a server's address has not"));
        }
        Ok(Self { cache: Cache::new(cache), endpoint, token, offline: false, patience: PATIENCE })
    }

    /// Never touches the network: what the cache does not hold is an error.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline |= offline;
        self
    }

    /// How long a silent server is waited for; 30 seconds unless this says otherwise. A download whose server sends less than
    /// a kilobyte a second for so long is ended, too.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.max(Duration::from_secs(1));
        self
    }

    /// The directory with a model's configuration, weights and tokenizer, fetched if it is not there yet.
    ///
    /// A branch or tag is asked for its commit each time, with one request, and what is there of that commit is not
    /// fetched again; a commit that is there is not asked for at all. If the network is down, the commit that the branch
    /// last stood for will do. A download that broke off is continued by the next call; `progress` hears of every piece.
    ///
    /// # Errors
    /// [`Error::Hub`]; [`Error::Checkpoint`] if the model has no weights that are read, or an index names files that it must not;
    /// [`Error::Config`] for a `modules.json` that cannot be read; [`Error::Io`].
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
        let config = match remote.meta(parts::CONFIG) {
            Err(error @ Error::Hub { fault: HubFault::Network, .. }) => {
                let dir = cached(&store, known.as_deref(), id).map_err(|_| error)?;
                tracing::warn!("the Hub cannot be reached: {id} is as it was when it was last fetched");
                return Ok(dir);
            }
            other => other?,
        };
        let Found::File(config) = config else {
            let problem = format!("there is no such model or revision, or it has no {}", parts::CONFIG);
            return Err(remote.missing(problem));
        };
        let mut fetch = Fetch { store: &store, remote: &remote, commit: &config.commit, progress };
        let dir = store.snapshot(&config.commit);
        if !is_settled(&store, &config.commit) {
            fetch.file(parts::CONFIG, &config)?;
            match parts::walk(&dir, &mut |file| fetch.have(file))? {
                Parts::Whole => {}
                Parts::Lacks(file) => return Err(remote.missing(format!("its index names {file}, which it has not"))),
                Parts::NoWeights => {
                    return Err(no_weights_among(remote.list(), &id.to_string(), id.repo(), &class_of(&dir)));
                }
            }
        }
        store.set_commit(id.revision(), &config.commit)?;
        store.sweep();
        Ok(dir)
    }
}

/// Whether the cache holds all of a commit that the Hub could give.
fn is_settled(store: &Store, commit: &str) -> bool {
    let mut unknown = false;
    let whole = parts::walk(&store.snapshot(commit), &mut |file| {
        let state = store.state(commit, file);
        unknown |= state == State::Unknown;
        Ok(state == State::Present)
    });
    // A file that cannot be read is for its loader to report, which knows more of it.
    matches!(whole, Ok(Parts::Whole)) && !unknown
}

/// The directory of a model that is used without the network.
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
    if !has(parts::CONFIG) {
        return Err(lacking(parts::CONFIG));
    }
    // A model without any is for the loader of tokenizers to judge.
    let states = parts::TOKENIZERS.map(|file| store.state(commit, file));
    if !states.contains(&State::Present) && states.contains(&State::Unknown) {
        return Err(lacking("tokenizer.json or vocab.txt"));
    }
    match parts::walk(&dir, &mut |file| Ok(has(file)))? {
        Parts::Whole => Ok(dir),
        Parts::Lacks(file) => Err(lacking(&file)),
        Parts::NoWeights => Err(lacking("model.safetensors")),
    }
}

/// One commit on its way into the cache.
struct Fetch<'a> {
    store: &'a Store,
    remote: &'a Remote<'a>,
    commit: &'a str,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Fetch<'_> {
    /// Whether the commit has this file, which then is here.
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
            // Before anything of it is written.
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
        // Another process may have fetched it while this one waited.
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

/// The SHA-256 of all that was written, in hex.
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
