//! Creates or changes a directory as a whole or not at all.
//!
//! A directory is built beside its final place. If the final directory already exists, its other files are linked into
//! the new one. Then the two exchange their names in one step (`renameat2` with `RENAME_EXCHANGE`). So a reader sees
//! either all old files or all new ones, even if a process is killed.
//!
//! Some systems cannot exchange names: the call is missing, the directory is a mount point or the working directory is
//! inside it, or the file system has no hard links. Then files are replaced one by one. `config.json` is removed first,
//! and the new one is added last. A process that is killed in between leaves a directory without it, which nothing
//! loads. Running the command again repairs it.
//!
//! A lock on the directory keeps two processes from writing it at once. Partial directories of a killed process have
//! recognizable names, and the next process that writes there removes them.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::files::sync_dir;

/// A directory under construction. If it is dropped before [`Staging::commit`], nothing remains.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: PathBuf,
    out: PathBuf,
    /// How `out` is created or replaced.
    way: Way,
    /// The locks on `dir` and `out`. The system releases them when the process ends in any way.
    _locks: [Option<File>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// `out` did not exist.
    New,
    /// `dir` is beside it and will exchange names with it.
    Exchange,
    /// `dir` is inside it, and its files will be moved.
    Move,
}

/// The file that is read first in a model's directory. Without it, there is no model.
const CONFIG: &str = "config.json";

/// The subdirectory of a directory under construction for the files of `out` that have the same names.
const OLD: &str = ".old";

/// The most other files of a directory that are linked. A directory with more belongs to more than a model.
const MOST_LINKS: usize = 10_000;

impl Staging {
    /// Begins a directory that will become `out`, or whose files will go there.
    ///
    /// # Errors
    /// [`Error::Option`] if `out` cannot be a directory, or if another process writes there; [`Error::Io`].
    pub(crate) fn begin(out: &Path) -> Result<Self> {
        let bad = |problem: &str, help: &str| {
            Err(Error::Option { name: "output", problem: format!("{} {problem}", out.display()), help: help.into() })
        };
        const GIVE: &str = "Give the path of a directory, new or old";
        let is_there = out.exists();
        if is_there && !out.is_dir() {
            return bad("is not a directory", GIVE);
        }
        let real = if is_there { out.canonicalize().map_err(|e| Error::io("open", out, e))? } else { out.into() };
        if real.file_name().is_none() {
            return bad("has no name", GIVE);
        }
        let parent = parent(&real);
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let lock = match is_there.then(|| lock(&real)).flatten() {
            Some(Err(_)) => {
                return bad("is being written by another process", "Wait for it, or give another directory");
            }
            Some(Ok(lock)) => Some(lock),
            None => None,
        };
        Self::sweep(&real)?;
        if is_there
            && may_move(&real)
            && let Ok((dir, own)) = make(parent, &stem(&real))
        {
            if can_enter(&dir, &real) {
                return Ok(Self { dir, out: real, way: Way::Exchange, _locks: [own, lock] });
            }
            // It is empty and useless.
            let _ = fs::remove_dir(&dir);
        }
        let ((dir, own), way) = match is_there {
            true => (make(&real, INSIDE)?, Way::Move),
            false => (make(parent, &stem(&real))?, Way::New),
        };
        Ok(Self { dir, out: real, way, _locks: [own, lock] })
    }

    /// Removes the partial directories that killed processes left beside `out`. Those of running processes are locked.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn sweep(out: &Path) -> Result<()> {
        for (place, stem) in [(parent(out), stem(out).as_str()), (out, INSIDE)] {
            let Ok(entries) = fs::read_dir(place) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if is_name(&entry.file_name().to_string_lossy(), stem)
                    && path.is_dir()
                    && let Some(Ok(_held)) = lock(&path)
                {
                    match fs::remove_dir_all(&path) {
                        // Its process has just ended, and removed it.
                        Err(e) if e.kind() == ErrorKind::NotFound => {}
                        removed => removed.map_err(|e| Error::io("remove", &path, e))?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The directory under construction.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a whole small file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|e| Error::io("write", &path, e))
    }

    /// Puts the new files into place, in one step as the module describes. Other files stay.
    ///
    /// # Errors
    /// [`Error::Io`]; then the old files are unchanged.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { dir, out, way, .. } = &self;
        let io = |e| Error::io("write", out, e);
        sync_below(dir).map_err(io)?;
        match way {
            Way::New if out.exists() => {
                return Err(Error::Option {
                    name: "output",
                    problem: format!("{} was made by another process meanwhile", out.display()),
                    help: "Give another directory, or run it again".into(),
                });
            }
            Way::New => fs::rename(dir, out).map_err(io)?,
            Way::Exchange => {
                let mut left = MOST_LINKS;
                let exchanged =
                    link_missing(out, dir, &mut left).and_then(|()| sync_below(dir)).and_then(|()| exchange(dir, out));
                if exchanged.is_err() {
                    replace(dir, out).map_err(io)?;
                }
            }
            Way::Move => replace(dir, out).map_err(io)?,
        }
        sync_dir(parent(out)).map_err(io)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a rename it is gone already; after an exchange it is the old directory. If it cannot be removed, the
        // next run does it.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The beginning of the names of partial directories inside `out`, which may be renamed.
const INSIDE: &str = ".cloze.";

/// The beginning of the names of partial directories beside `out`.
fn stem(out: &Path) -> String {
    // Short enough for the rest of the name.
    let name: String = out.file_name().unwrap_or_default().to_string_lossy().chars().take(50).collect();
    format!(".{name}.")
}

fn is_name(name: &str, stem: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(".partial")?.split_once('-'));
    middle.is_some_and(|(process, attempt)| number(process) && number(attempt))
}

/// Makes and locks a directory in `place`, whose name begins with `stem`.
fn make(place: &Path, stem: &str) -> Result<(PathBuf, Option<File>)> {
    // No name comes twice: a sweep that still holds an old directory would remove the new one of the same name.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut attempts_left = 100;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = place.join(format!("{stem}{}-{number}.partial", std::process::id()));
        match fs::create_dir(&dir) {
            // Another process may sweep it before it is locked.
            Ok(()) => match lock(&dir) {
                Some(Err(())) => {}
                _ if !dir.is_dir() => {}
                lock => return Ok((dir, lock.and_then(std::result::Result::ok))),
            },
            Err(e) if e.kind() == ErrorKind::AlreadyExists && attempts_left > 0 => attempts_left -= 1,
            Err(e) => return Err(Error::io("create", dir, e)),
        }
    }
}

/// Locks a directory, or reports that another process has the lock; `None` if the system cannot lock directories.
fn lock(dir: &Path) -> Option<std::result::Result<File, ()>> {
    let file = File::open(dir).ok()?;
    match file.try_lock() {
        Ok(()) => Some(Ok(file)),
        Err(TryLockError::WouldBlock) => Some(Err(())),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Whether a directory may be exchanged. This process's working directory must not be inside it.
fn may_move(out: &Path) -> bool {
    std::env::current_dir().and_then(|dir| dir.canonicalize()).is_ok_and(|dir| !dir.starts_with(out))
}

/// Whether `dir` and `out` are in one file system, which mounts do not always show. It moves `dir` in and back.
fn can_enter(dir: &Path, out: &Path) -> bool {
    let inside = out.join(format!("{INSIDE}{}-0.partial", std::process::id()));
    fs::rename(dir, &inside).and_then(|()| fs::rename(&inside, dir)).is_ok()
}

/// Exchanges the names of two directories.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Links the files of `from` that `to` lacks. A file in both gets the permissions of the old one.
fn link_missing(from: &Path, to: &Path, left: &mut usize) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        *left = left.checked_sub(1).ok_or(ErrorKind::Unsupported)?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        let is_there = new.symlink_metadata().is_ok();
        if kind.is_dir() {
            if !is_there {
                fs::create_dir(&new)?;
            }
            if new.is_dir() {
                link_missing(&old, &new, left)?;
            }
        } else if kind.is_file() {
            match is_there {
                true => fs::set_permissions(&new, entry.metadata()?.permissions())?,
                false => fs::hard_link(&old, &new)?,
            }
        } else if !is_there {
            link_again(&old, &new)?;
        }
    }
    fs::set_permissions(to, from.metadata()?.permissions())
}

/// Makes a symbolic link like `old`; an error if that is not one.
#[cfg(unix)]
fn link_again(old: &Path, new: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(fs::read_link(old)?, new)
}

#[cfg(not(unix))]
fn link_again(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Moves every file below `from` to the same place below `to`. If that fails, it restores the old files.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    list(from, Path::new(""), &mut files)?;
    // Without it there is no model, so nobody sees a mix of old and new files.
    files.sort_by_key(|file| file == Path::new(CONFIG));
    let old = from.join(OLD);
    let mut done: Vec<&Path> = Vec::new();
    let mut move_all = || {
        if files.last().is_some_and(|last| last == Path::new(CONFIG)) && to.join(CONFIG).exists() {
            set_aside(&to.join(CONFIG), &old.join(CONFIG))?;
        }
        for file in &files {
            let target = to.join(file);
            done.push(file);
            if target.is_file() {
                set_aside(&target, &old.join(file))?;
            }
            fs::create_dir_all(parent(&target))?;
            fs::rename(from.join(file), &target)?;
        }
        Ok(())
    };
    let moved = move_all();
    if moved.is_err() {
        for file in done.into_iter().chain([Path::new(CONFIG)]) {
            let held = old.join(file);
            if held.is_file() {
                // The first error is the one to report.
                let _ = fs::rename(held, to.join(file));
            }
        }
    }
    moved.and_then(|()| sync_below(to))
}

fn set_aside(file: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(parent(to))?;
    fs::rename(file, to)
}

/// Lists the files below `dir`, with their relative paths.
fn list(dir: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => list(dir, &path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// Makes the changes in a directory and those below it durable.
fn sync_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    /// The sweep can come between the making of a directory and its lock.
    #[test]
    fn a_sweep_takes_no_directory_that_is_being_built() {
        let temp = tempfile::tempdir().unwrap();
        let out = temp.path().join("out");
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sweeper = scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    Staging::sweep(&out).unwrap();
                }
            });
            let built = (0..2000).all(|_| Staging::begin(&out).is_ok_and(|staging| staging.write("a", b"1").is_ok()));
            is_done.store(true, Ordering::Relaxed);
            sweeper.join().unwrap();
            assert!(built);
        });
    }

    #[test]
    fn a_directory_appears_whole_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("deep");
        let out = deep.join("out");
        let staging = Staging::begin(&out).unwrap();
        staging.write("a", b"1").unwrap();
        drop(staging);
        assert_eq!(names(&deep), [""; 0], "nothing is left of what was given up");

        let staging = Staging::begin(&out).unwrap();
        staging.write("a", b"1").unwrap();
        staging.write("sub/b", b"1").unwrap();
        assert!(!out.exists());
        staging.commit().unwrap();
        assert_eq!((names(&out), names(&out.join("sub"))), (vec!["a".into(), "sub".into()], vec!["b".into()]));
        assert_eq!(Staging::begin(&out.join("a")).err().unwrap().code(), "option");
    }

    /// Both ways of changing an existing directory.
    #[test]
    fn what_is_there_is_replaced_and_the_rest_stays() {
        for way in [Way::Exchange, Way::Move] {
            let temp = tempfile::tempdir().unwrap();
            let out = temp.path().join("out");
            fs::create_dir_all(out.join("sub")).unwrap();
            for (name, text) in
                [("a", "1"), ("config.json", "1"), ("sub/b", "1"), ("mine", "kept"), ("sub/mine", "kept")]
            {
                fs::write(out.join(name), text).unwrap();
            }
            #[cfg(unix)]
            std::os::unix::fs::symlink("mine", out.join("link")).unwrap();
            let mut staging = Staging::begin(&out).unwrap();
            assert_eq!(staging.way, Way::Exchange);
            if way == Way::Move {
                staging.way = way;
                let (dir, lock) = make(&out, INSIDE).unwrap();
                fs::remove_dir(std::mem::replace(&mut staging.dir, dir)).unwrap();
                staging._locks[0] = lock;
            }
            for (name, text) in [("a", "2"), ("config.json", "2"), ("sub/b", "2"), ("more/c", "2")] {
                staging.write(name, text.as_bytes()).unwrap();
            }
            assert_eq!(read(out.join("a")), "1");
            assert_eq!(Staging::begin(&out).err().unwrap().code(), "option", "one at a time");
            staging.commit().unwrap();
            for name in ["a", "config.json", "sub/b", "more/c"] {
                assert_eq!(read(out.join(name)), "2", "{name}, {way:?}");
            }
            assert_eq!((read(out.join("mine")), read(out.join("sub/mine"))), ("kept".into(), "kept".into()));
            #[cfg(unix)]
            assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("mine"));
            assert_eq!(names(temp.path()), ["out"], "{way:?}");
            assert_eq!(names(&out.join("sub")), ["b", "mine"]);
            drop(Staging::begin(&out).unwrap());
        }
    }

    #[test]
    fn a_move_that_fails_is_undone() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        for (dir, text) in [(&from, "new"), (&to, "old")] {
            fs::create_dir(dir).unwrap();
            ["a", "config.json"].iter().for_each(|name| fs::write(dir.join(name), text).unwrap());
        }
        // A directory has the name of a file.
        fs::write(from.join("z"), "new").unwrap();
        fs::create_dir_all(to.join("z/full")).unwrap();
        replace(&from, &to).unwrap_err();
        assert_eq!((read(to.join("a")), read(to.join("config.json"))), ("old".into(), "old".into()));
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let temp = tempfile::tempdir().unwrap();
        let out = temp.path().join("out");
        for left in [".out.123-0.partial", ".other.123-0.partial", ".out.x-0.partial"] {
            fs::create_dir_all(temp.path().join(left).join("deep")).unwrap();
        }
        let held = Staging::begin(&out).unwrap();
        let name = held.dir().file_name().unwrap().to_str().unwrap().to_owned();
        Staging::sweep(&out).unwrap();
        assert_eq!(names(temp.path()), [".other.123-0.partial", &name, ".out.x-0.partial"], "what is held stays");
    }
}
