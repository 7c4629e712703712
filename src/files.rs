//! Files that are read and written with care: no waiting for a pipe's writer, and no reader sees half a file.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Opens a regular file. Asked first: to open a pipe would wait for whoever writes to it.
pub(crate) fn open_regular(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path)?.is_file() { File::open(path) } else { Err(std::io::Error::other("not a file")) }
}

/// Reads all of `source`, which errors call `name`, but no more than `limit` bytes.
///
/// # Errors
/// [`Error::Io`], and [`Error::Input`] where there is more.
pub fn read_at_most(source: impl Read, name: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", name, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::Input {
            problem: format!("{} is longer than {limit} bytes", name.display()),
            mend: "Give it in parts".into(),
        });
    }
    Ok(bytes)
}

/// Writes `bytes` to `path`: under another name first, then renamed over what was there. Through a link it is the
/// link's target that is replaced. What is no regular file, such as a pipe or `/dev/null`, stays and is written to.
///
/// # Errors
/// [`Error::Io`]; a regular file that was there is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// A file that is written bit by bit and appears as a whole, as [`write_atomically`] does it. Dropped before
/// [`commit`](Self::commit), it leaves what was there.
#[derive(Debug)]
pub struct AtomicFile {
    sink: BufWriter<File>,
    path: PathBuf,
    /// Target and the name until then; none for what is no regular file and is written at once.
    places: Option<(PathBuf, PathBuf)>,
}

impl AtomicFile {
    /// # Errors
    /// [`Error::Io`]
    pub fn create(path: &Path) -> Result<Self> {
        let places = places(path).map_err(|e| Error::io("write", path, e))?;
        let file = match &places {
            Some((_, partial)) => File::create(partial),
            None => File::options().write(true).open(path),
        };
        let sink = BufWriter::new(file.map_err(|e| Error::io("write", path, e))?);
        Ok(Self { sink, path: path.into(), places })
    }

    fn with(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
        write(&mut self.sink).map_err(|e| Error::io("write", &self.path, e))
    }

    /// # Errors
    /// [`Error::Io`]
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.with(|sink| sink.write_all(bytes))
    }

    /// Writes over the first bytes.
    ///
    /// # Errors
    /// [`Error::Io`], also for what cannot be gone back in, such as a pipe.
    pub fn write_at_start(&mut self, bytes: &[u8]) -> Result<()> {
        self.with(|sink| {
            sink.seek(SeekFrom::Start(0))?;
            sink.write_all(bytes)
        })
    }

    /// Makes the file appear.
    ///
    /// # Errors
    /// [`Error::Io`]; what was there is then untouched.
    pub fn commit(mut self) -> Result<()> {
        let places = self.places.clone();
        self.with(|sink| {
            sink.flush()?;
            let Some((target, partial)) = &places else { return Ok(()) };
            sink.get_ref().sync_all()?;
            std::fs::rename(partial, target)
        })?;
        // There is nothing left to remove.
        self.places = None;
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some((_, partial)) = &self.places {
            // Half a file is of no use, and may not even exist.
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// Finds out whether [`write_atomically`] could write `path`, which stays as it is.
///
/// # Errors
/// [`Error::Io`] as writing it would give.
pub fn check_writable(path: &Path) -> Result<()> {
    let check = || match places(path)? {
        Some((_, partial)) => File::create(&partial).and_then(|_| std::fs::remove_file(&partial)),
        None => Ok(()),
    };
    check().map_err(|e| Error::io("write", path, e))
}

/// Where a regular file of this path really lies, and the name beside it under which it is made; none for what is
/// there and cannot be replaced.
fn places(path: &Path) -> std::io::Result<Option<(PathBuf, PathBuf)>> {
    let target = match std::fs::metadata(path) {
        Ok(found) if found.is_file() => path.canonicalize()?,
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(_) => return Ok(None),
        Err(_) => path.to_owned(),
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Threads may write the same file as well as processes.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let partial = target.with_file_name(format!(".{name}.{}.{number}.partial", std::process::id()));
    Ok(Some((target, partial)))
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn a_link_and_a_device_stay_what_they_are() {
        use super::*;

        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        check_writable(&link).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");

        // A socket stands for whatever is no regular file: it cannot even be opened, and must not be replaced.
        let socket = dir.path().join("socket");
        let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(write_atomically(&socket, b"x").unwrap_err().code(), "io");
        assert!(!std::fs::metadata(&socket).unwrap().is_file());
        assert_eq!(open_regular(&socket).unwrap_err().to_string(), "not a file");

        for bad in
            [dir.path().to_owned(), target.join("x"), dir.path().join("none/x"), dir.path().join("n".repeat(300))]
        {
            assert_eq!(check_writable(&bad).unwrap_err().code(), "io", "{}", bad.display());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "no leftovers");
    }
}
