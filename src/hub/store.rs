//! The standard cache on disk: `models--ORG--NAME/` has the contents in `blobs/ETAG`, trees of links to them in
//! `snapshots/COMMIT/`, branches in `refs/`, and the files that a commit is known to lack in `.no_exist/COMMIT/`.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};

use super::id::{ModelId, is_commit};
use crate::error::{Error, Result};
use crate::files::{open_regular, read_at_most, sync_dir, write_atomically};

/// What the cache knows about a file of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Present,
    Absent,
    Unknown,
}

/// How long the beginning of a file is kept, so that a download can continue it.
const STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The part of the cache that belongs to one model.
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub fn new(cache: &Cache, id: &ModelId) -> Self {
        let folder = Repo::new(id.repo().to_owned(), RepoType::Model).folder_name();
        Self { root: cache.path().join(folder) }
    }

    /// The directory that loaders read.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The commit of a revision at the last request.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.into());
        }
        let path = self.root.join("refs").join(revision);
        let text = read_at_most(open_regular(&path).ok()?, &path, 100).ok()?;
        String::from_utf8(text).ok().map(|t| t.trim().to_owned()).filter(|t| is_commit(t))
    }

    /// Stores the commit of a revision.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        make_parent(&path)?;
        write_atomically(&path, commit.as_bytes())
    }

    pub fn state(&self, commit: &str, file: &str) -> State {
        if self.snapshot(commit).join(file).is_file() {
            State::Present
        } else if self.no_exist(commit, file).is_file() {
            State::Absent
        } else {
            State::Unknown
        }
    }

    pub fn mark_absent(&self, commit: &str, file: &str) -> Result<()> {
        let path = self.no_exist(commit, file);
        make_parent(&path)?;
        match File::create_new(&path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::io("write", &path, e)),
            _ => Ok(()),
        }
    }

    fn no_exist(&self, commit: &str, file: &str) -> PathBuf {
        self.root.join(".no_exist").join(commit).join(file)
    }

    /// The path of the contents with this tag, if they are complete with `size` bytes.
    pub fn blob(&self, etag: &str, size: u64) -> Option<PathBuf> {
        let path = self.blob_path(etag);
        fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() == size).then_some(path)
    }

    fn blob_path(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Takes the lock for the contents with this tag, and opens the file in which they grow.
    pub fn begin(&self, etag: &str) -> Result<Partial> {
        let blob = self.blob_path(etag);
        make_parent(&blob)?;
        // These are the names of hf-hub, so that both programs wait for each other and can continue each other's files.
        let (lock, path) = (self.blob_path(&format!("{etag}.lock")), self.blob_path(&format!("{etag}.part")));
        let held = File::options().create(true).write(true).truncate(false).open(&lock);
        let held = held.map_err(|e| Error::io("write", &lock, e))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tracing::warn!("another process downloads the same file; waiting for it");
                held.lock().map_err(|e| Error::io("lock", &lock, e))?;
            }
            // If the system has no locks, nobody else can hold one.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &lock, e)),
        }
        let io = |e| Error::io("write", &path, e);
        // A link could lead to any file of this user.
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            fs::remove_file(&path).map_err(io)?;
        }
        let file = File::options().read(true).append(true).create(true).open(&path).map_err(io)?;
        Ok(Partial { file, path, blob, _held: held })
    }

    /// Removes the beginnings of files that were not continued for [`STALE`]. It ignores what cannot be removed.
    pub fn sweep(&self) {
        let entries = fs::read_dir(self.root.join("blobs")).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "part")) {
            let is_stale = fs::symlink_metadata(&path)
                .and_then(|found| found.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE));
            // A process that works on it holds its lock.
            let lock = File::open(path.with_extension("lock"));
            if is_stale && !lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock))) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Makes the contents the file of a commit.
    pub fn link(&self, commit: &str, file: &str, blob: &Path) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        let linked = match link(blob, &path, file) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => match path.is_file() {
                // Another process has already made the same link.
                true => Ok(()),
                // The target of the link is gone.
                false => fs::remove_file(&path).and_then(|()| link(blob, &path, file)),
            },
            other => other,
        };
        linked.map_err(|e| Error::io("write", &path, e))
    }
}

#[cfg(unix)]
fn link(blob: &Path, path: &Path, file: &str) -> std::io::Result<()> {
    // The link is relative, so that the cache can be moved. It goes up from snapshots/COMMIT/ and the file's own
    // directories.
    let up = "../".repeat(2 + file.matches('/').count());
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), path)
}

#[cfg(not(unix))]
fn link(blob: &Path, path: &Path, _: &str) -> std::io::Result<()> {
    // Symbolic links need a privilege on Windows. Like hf-hub, this then moves the blob.
    fs::rename(blob, path)
}

/// Contents that grow in a partial file, which has another name than the complete one.
pub(super) struct Partial {
    pub file: File,
    path: PathBuf,
    blob: PathBuf,
    /// Closing it releases the lock.
    _held: File,
}

impl Partial {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of bytes so far.
    pub fn len(&self) -> Result<u64> {
        self.file.metadata().map(|m| m.len()).map_err(|e| Error::io("read", &self.path, e))
    }

    pub fn clear(&self) -> Result<()> {
        self.file.set_len(0).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Gives the complete contents their name.
    pub fn finish(self) -> Result<PathBuf> {
        let done = self.file.sync_all().and_then(|()| fs::rename(&self.path, &self.blob));
        let done = done.and_then(|()| self.blob.parent().map_or(Ok(()), sync_dir));
        done.map_err(|e| Error::io("write", &self.blob, e))?;
        Ok(self.blob)
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))
}
