//! Remembers the files that a command reads, so that it does not overwrite them.
//!
//! It compares the files themselves and not their paths: a symbolic link, a hard link and another spelling are the same file.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files and directories that a command reads, with the bases of adapters.
#[derive(Debug, Default)]
pub struct Inputs {
    files: Vec<(Identity, PathBuf)>,
    /// Their real paths.
    dirs: Vec<PathBuf>,
}

#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = PathBuf;

/// The most files of a model's directory to examine, and their deepest level.
const MOST_FILES: usize = 10_000;
const DEEPEST: usize = 4;

impl Inputs {
    /// Adds a file, or a directory with all its contents. It ignores missing files, because reading them gives the
    /// error.
    pub fn add(&mut self, path: &Path) {
        let Ok(found) = fs::metadata(path) else { return };
        if !found.is_dir() {
            self.files.extend(identity(path, &found).map(|identity| (identity, path.into())));
            return;
        }
        self.dirs.extend(path.canonicalize());
        self.add_below(path, DEEPEST);
    }

    fn add_below(&mut self, dir: &Path, deep: usize) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            // In the Hub's cache, a model consists of links to its files.
            let Ok(found) = fs::metadata(&path) else { continue };
            if found.is_dir() && deep > 0 {
                self.add_below(&path, deep - 1);
            } else if found.is_file() && self.files.len() < MOST_FILES {
                self.files.extend(identity(&path, &found).map(|identity| (identity, path)));
            }
        }
    }

    /// Adds the directory of a model and, if it is an adapter, that of its base.
    pub fn add_model(&mut self, dir: &Path) {
        self.add(dir);
        #[cfg(feature = "train")]
        {
            use crate::checkpoint::adapter::directory;
            // If the base cannot be found, the adapter cannot be opened either.
            if directory::is_adapter(dir)
                && let Ok(base) = directory::base(dir).and_then(|base| directory::base_of(dir, &base))
            {
                self.add(&base);
            }
        }
    }

    /// Checks that the option `name` may write the file or directory `output`. It must not be one of these files or be
    /// inside one of the directories. If it is a directory, none of these files may be in it.
    ///
    /// # Errors
    /// [`Error::Option`] names what would be overwritten.
    pub fn check(&self, name: &'static str, output: &Path) -> Result<()> {
        let refused = |problem: String| Err(Error::Option { name, problem, help: "Give another place".into() });
        let shown = output.display();
        let found = fs::metadata(output).ok();
        // Writing to a pipe or a terminal replaces nothing.
        if found.as_ref().is_some_and(|found| !found.is_file() && !found.is_dir()) {
            return Ok(());
        }
        let Some(real) = real(output) else { return Ok(()) };
        if let Some(dir) = self.dirs.iter().find(|dir| real.starts_with(dir)) {
            return match real == **dir {
                true => refused(format!("{shown} is an input of this command, or an input depends on it")),
                false => refused(format!("{shown} lies in {}, which is read", dir.display())),
            };
        }
        let same = found.and_then(|found| identity(output, &found));
        if let Some((_, file)) = self.files.iter().find(|(identity, _)| Some(identity) == same.as_ref()) {
            return refused(format!("{shown} is {}, which is read", file.display()));
        }
        // For example the weights of a base that is a link into the output.
        let inside = |file: &&(Identity, PathBuf)| file.1.canonicalize().is_ok_and(|file| file.parent() == Some(&real));
        match self.files.iter().find(inside) {
            Some((_, file)) => refused(format!("{shown} holds {}, which is read", file.display())),
            None => Ok(()),
        }
    }
}

/// The real path of a file that may be new; `None` if not even its parent exists.
fn real(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match path.file_name() {
        Some(name) if parent != path => real(parent).map(|parent| parent.join(name)),
        _ => None,
    }
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere a path may lead nowhere")]
fn identity(_: &Path, found: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;

    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path, _: &Metadata) -> Option<Identity> {
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_what_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        for dir in ["model/sub", "out", "cache"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        for file in ["model/config.json", "model/sub/x", "data.tsv", "other.tsv", "cache/blob", "out/mine"] {
            fs::write(at(file), "x").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("cache/blob"), at("model/model.safetensors")).unwrap();
            std::os::unix::fs::symlink(at("model"), at("link")).unwrap();
            fs::hard_link(at("data.tsv"), at("hard")).unwrap();
        }
        let mut inputs = Inputs::default();
        inputs.add_model(&at("model"));
        inputs.add(&at("data.tsv"));
        inputs.add(&at("none"));
        let mut refused =
            vec!["model", "model/", "model/../model", "model/new", "model/new/deep/x", "model/config.json"];
        refused.extend(["data.tsv", "out/../data.tsv"]);
        if cfg!(unix) {
            refused.extend(["link", "link/config.json", "hard", "cache/blob", "cache"]);
        }
        for path in refused {
            let error = inputs.check("output", &at(path)).expect_err(path);
            assert!(error.code() == "option" && error.to_string().starts_with("output: "), "{path}: {error}");
        }
        for path in ["out", "out/new", "other.tsv", "modelled", "new/deep"] {
            inputs.check("output", &at(path)).unwrap();
        }
        // The files may be deeper in the output, where nothing is replaced.
        inputs.check("output", temp.path()).unwrap_err();
        let mut deeper = Inputs::default();
        deeper.add(&at("model"));
        deeper.check("output", temp.path()).unwrap();
        Inputs::default().check("output", Path::new("/dev/null")).unwrap();
    }
}
