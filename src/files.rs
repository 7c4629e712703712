//! Reads and writes files safely: it never waits for a pipe's writer, and no reader sees half a file.

use std::fs::{File, Metadata, TryLockError};
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Opens a regular file. It checks the kind first, because opening a pipe would wait for its writer.
pub(crate) fn open_regular(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path)?.is_file() { File::open(path) } else { Err(std::io::Error::other("not a file")) }
}

/// Reads all of `source`, but at most `limit` bytes. `name` is its name in errors.
///
/// # Errors
/// [`Error::Io`], and [`Error::Input`] if there is more.
pub fn read_at_most(source: impl Read, name: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", name, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::Input {
            problem: format!("{} is longer than {limit} bytes", name.display()),
            help: "Give it in parts".into(),
        });
    }
    Ok(bytes)
}

/// Writes `bytes` to a temporary file, then renames it to `path`. It keeps the permissions and the owner of an existing
/// file. If `path` is a link, it replaces the link's target. It writes directly to anything that is not a regular file,
/// such as a pipe or `/dev/null`.
///
/// # Errors
/// [`Error::Io`]; then an existing regular file is unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// A file that is written in parts and appears as a whole, like that of [`write_atomically`]. If it is dropped before
/// [`commit`](Self::commit), the old file stays.
#[derive(Debug)]
pub struct AtomicFile {
    sink: BufWriter<File>,
    path: PathBuf,
    /// The target and the temporary path; `None` for a file that is not regular, which is written directly.
    places: Option<(PathBuf, PathBuf)>,
}

impl AtomicFile {
    /// Begins a file, and removes what killed processes left of the same one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let begin = || match target(path)? {
            Some(target) => {
                sweep(&target);
                let (file, partial) = begin(&target)?;
                Ok((file, Some((target, partial))))
            }
            None => Ok((File::options().write(true).open(path)?, None)),
        };
        let (file, places) = begin().map_err(|e| Error::io("write", path, e))?;
        Ok(Self { sink: BufWriter::new(file), path: path.into(), places })
    }

    fn with(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
        write(&mut self.sink).map_err(|e| Error::io("write", &self.path, e))
    }

    /// # Errors
    /// [`Error::Io`]
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.with(|sink| sink.write_all(bytes))
    }

    /// Overwrites the first bytes.
    ///
    /// # Errors
    /// [`Error::Io`], also if the file cannot go back, such as a pipe.
    pub fn write_at_start(&mut self, bytes: &[u8]) -> Result<()> {
        self.with(|sink| {
            sink.seek(SeekFrom::Start(0))?;
            sink.write_all(bytes)
        })
    }

    /// Makes the file appear, in a way that survives a power failure.
    ///
    /// # Errors
    /// [`Error::Io`]; then the old file is unchanged, unless only the last step failed, which makes the change durable.
    pub fn commit(mut self) -> Result<()> {
        let places = self.places.clone();
        self.with(|sink| {
            sink.flush()?;
            let Some((target, partial)) = &places else { return Ok(()) };
            sink.get_ref().sync_all()?;
            std::fs::rename(partial, target)
        })?;
        // There is nothing left to remove.
        let Some((target, _)) = self.places.take() else { return Ok(()) };
        sync_parent(&target).map_err(|e| Error::io("write", &self.path, e))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some((_, partial)) = &self.places {
            // Half a file is useless, and may not even exist.
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// Checks whether [`write_atomically`] could write `path`, without changing it.
///
/// # Errors
/// [`Error::Io`] as for writing it.
pub fn check_writable(path: &Path) -> Result<()> {
    let check = || match target(path)? {
        Some(target) => begin(&target).and_then(|(_, partial)| std::fs::remove_file(partial)),
        None => Ok(()),
    };
    check().map_err(|e| Error::io("write", path, e))
}

/// Makes renames inside a directory durable, if the system supports it.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// The same for the directory of a file. A directory that cannot be read cannot be synced, and some file systems do not
/// support it. Then the system decides when to write.
fn sync_parent(path: &Path) -> std::io::Result<()> {
    match sync_dir(parent(path)) {
        Err(e)
            if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The real path of a regular file; `None` for an existing file that cannot be replaced.
fn target(path: &Path) -> std::io::Result<Option<PathBuf>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => path.canonicalize().map(Some),
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Some(path.to_owned())),
        Err(e) => Err(e),
    }
}

/// Makes a temporary file beside `target`, with a new name that nobody can guess.
fn begin(target: &Path) -> std::io::Result<(File, PathBuf)> {
    let replaced = std::fs::metadata(target).ok();
    // If a name exists already, it tries others. Names are random, so usually the first one works.
    for _ in 0..100 {
        let partial = target.with_file_name(format!("{}{:016x}{PARTIAL}", prefix(target), random()));
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if replaced.is_some() {
            // Until it gets the permissions of the old file, only its owner can read it.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let file = match options.open(&partial) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        // The lock shows that a process works on it. Without locks, nothing is removed either.
        let is_held = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if !is_held || was_removed(&file) {
            // In the meantime, another process removed it as a leftover.
            continue;
        }
        let kept = replaced.as_ref().map_or(Ok(()), |replaced| keep_permissions(&file, replaced));
        return match kept {
            Ok(()) => Ok((file, partial)),
            Err(e) => {
                let _ = std::fs::remove_file(&partial);
                Err(e)
            }
        };
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Removes the temporary files of `target` that killed processes left: files with such names that no process has
/// locked. It ignores what cannot be removed.
fn sweep(target: &Path) {
    let prefix = prefix(target);
    for entry in std::fs::read_dir(parent(target)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(PARTIAL));
        let is_ours = random.is_some_and(|r| r.len() == 16 && r.bytes().all(|b| b.is_ascii_hexdigit()));
        // Links are never ours, and opening a pipe would wait.
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            let Ok(file) = File::open(&path) else { continue };
            // The lock is held until the file is gone. So a process that has just made it can see that it was removed.
            if file.try_lock().is_ok() {
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

const PARTIAL: &str = ".partial";

/// The beginning of the names of `target`'s temporary files. The rest has 24 bytes, and a name at most 255.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fits = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 200).last();
    format!(".{}.", name.get(..fits.unwrap_or(0)).unwrap_or_default())
}

/// A number that others cannot guess, because the keys of hash maps are random.
fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

/// Whether a file that was just made has already been removed.
fn was_removed(file: &File) -> bool {
    #[cfg(unix)]
    return file.metadata().is_ok_and(|found| std::os::unix::fs::MetadataExt::nlink(&found) == 0);
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

/// Gives a file the owner and the permissions of the old one, as far as this process may.
#[cfg(unix)]
fn keep_permissions(file: &File, replaced: &Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let made = file.metadata()?;
    let mut mode = replaced.mode() & 0o777;
    if made.uid() != replaced.uid() {
        // Only root may change the owner.
        let _ = fchown(file, Some(replaced.uid()), None);
    }
    if made.gid() != replaced.gid() && fchown(file, None, Some(replaced.gid())).is_err() {
        // Another group must not get the rights of the old group.
        mode &= 0o707;
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// On other systems, files have the permissions of their directory.
#[cfg(not(unix))]
fn keep_permissions(_: &File, _: &Metadata) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_replaced_keeps_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        for wanted in [0o600, 0o644, 0o660, 0o400, 0o755] {
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wanted)).unwrap();
            let mut file = AtomicFile::create(&path).unwrap();
            let partial = file.places.clone().unwrap().1;
            assert_eq!(mode(&partial), wanted, "nobody else reads it meanwhile");
            file.write(b"new").unwrap();
            file.commit().unwrap();
            assert_eq!((mode(&path), std::fs::read(&path).unwrap()), (wanted, b"new".to_vec()));
            std::fs::remove_file(&path).unwrap();
        }
        // A new file has the usual permissions.
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        write_atomically(&ours, b"x").unwrap();
        std::fs::write(&theirs, "x").unwrap();
        assert_eq!(mode(&ours), mode(&theirs));
    }

    #[test]
    fn a_name_is_never_that_of_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("out"), dir.path().join("victim"));
        std::fs::write(&victim, "victim").unwrap();
        let first = begin(&path).unwrap();
        let second = begin(&path).unwrap();
        assert_ne!(first.1, second.1);
        // Somebody who guesses the name must create it first, and then another name is used.
        std::fs::remove_file(&first.1).unwrap();
        symlink(&victim, &first.1).unwrap();
        assert_eq!(File::create_new(&first.1).unwrap_err().kind(), ErrorKind::AlreadyExists);
        write_atomically(&path, b"mine").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"victim");
        let long = dir.path().join("ü".repeat(127));
        write_atomically(&long, b"a name of 254 bytes").unwrap();
        assert!(long.is_file());
    }

    #[test]
    fn leftovers_of_killed_runs_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        // A killed process holds no lock.
        let (killed, left) = begin(&path).unwrap();
        drop(killed);
        let at_work = begin(&path).unwrap();
        let others = [".out.1234.0.partial", ".out.notes.partial", ".out2.0123456789abcdef.partial", "out.partial"];
        others.iter().for_each(|name| std::fs::write(dir.path().join(name), "x").unwrap());
        let link = dir.path().join(".out.00000000000000ff.partial");
        symlink("nowhere", &link).unwrap();
        write_atomically(&path, b"new").unwrap();
        assert!(!left.exists() && at_work.1.exists() && link.is_symlink());
        assert_eq!(names(dir.path()).len(), others.len() + 3, "{:?}", names(dir.path()));
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let path = path.clone();
                std::thread::spawn(move || (0..50).try_for_each(|_| write_atomically(&path, &[n; 100])))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        let found = std::fs::read(&path).unwrap();
        assert!(found.len() == 100 && found.iter().all(|byte| *byte == found[0]), "one of them, and whole");
    }

    #[test]
    fn a_link_and_a_device_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        symlink(&target, &link).unwrap();
        check_writable(&link).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).unwrap(), b"new");

        // A socket stands for all files that are not regular. It cannot even be opened, and must not be replaced.
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
