//! Finds the files to search and reads their texts.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{open_regular, read_at_most};

use super::passages::Form;

/// The maximum size of a file, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// The maximum number of files in a search.
const MOST_FILES: usize = 200_000;

/// The endings of text files' names. Names without an ending, such as README, count too.
const TEXT: [&str; 8] = ["txt", "text", "rst", "adoc", "asciidoc", "org", "tex", "log"];
const MARKDOWN: [&str; 5] = ["md", "markdown", "mdown", "mkd", "mdx"];

/// The files to search, and what was left out.
#[derive(Debug, Default)]
pub struct Files {
    /// The files to search, in order.
    pub found: Vec<Found>,
    /// The paths that could not be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// Directory entries with names that begin with a dot.
    pub hidden: usize,
    /// Links in directories. They are not followed, because they may lead anywhere, and in circles.
    pub links: usize,
    /// Files that are not text, by their names.
    pub others: usize,
}

/// A file to search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The path of the file.
    pub path: PathBuf,
    /// Whether the user named the file itself, and not a directory that contains it.
    pub is_named: bool,
}

impl Files {
    /// Finds the files that `paths` name, and all files in and below the directories among them. In order, without duplicates.
    ///
    /// # Errors
    /// [`Error::Io`] for a path that cannot be read; [`Error::Input`] if there are too many files.
    pub fn find(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Self::default();
        let mut seen = HashMap::new();
        for path in paths {
            let about = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
            if about.is_dir() {
                files.walk(path, &mut seen)?;
            } else if about.is_file() {
                files.add(path.clone(), true, &mut seen)?;
            } else {
                return Err(Error::io("read", path, std::io::Error::other("not a file")));
            }
        }
        Ok(files)
    }

    fn walk(&mut self, root: &Path, seen: &mut HashMap<PathBuf, usize>) -> Result<()> {
        let mut open = vec![root.to_owned()];
        while let Some(path) = open.pop() {
            let about = match std::fs::symlink_metadata(&path) {
                Ok(about) => about,
                Err(e) => {
                    self.skipped.push((path, e.to_string()));
                    continue;
                }
            };
            if about.is_dir() || path == root {
                let entries = std::fs::read_dir(&path).and_then(|all| all.collect::<std::io::Result<Vec<_>>>());
                match entries {
                    Ok(mut entries) => {
                        // The last entry is taken first.
                        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
                        let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
                        let (hidden, shown): (Vec<_>, Vec<_>) =
                            entries.into_iter().partition(|entry| is_hidden(&entry.file_name()));
                        self.hidden += hidden.len();
                        open.extend(shown.iter().map(std::fs::DirEntry::path));
                    }
                    Err(e) if path == root => return Err(Error::io("read", path, e)),
                    Err(e) => self.skipped.push((path, e.to_string())),
                }
            } else {
                self.entry(path, &about, seen)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, about: &Metadata, seen: &mut HashMap<PathBuf, usize>) -> Result<()> {
        if about.is_symlink() {
            self.links += 1;
        } else if about.is_file() && is_text(&path) {
            self.add(path, false, seen)?;
        } else {
            self.others += 1;
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, is_named: bool, seen: &mut HashMap<PathBuf, usize>) -> Result<()> {
        let place = *seen.entry(path.canonicalize().unwrap_or_else(|_| path.clone())).or_insert(self.found.len());
        match self.found.get_mut(place) {
            Some(found) => found.is_named |= is_named,
            None => self.found.push(Found { path, is_named }),
        }
        if self.found.len() > MOST_FILES {
            return Err(Error::Input {
                problem: format!("there are more than {MOST_FILES} files"),
                help: "Search fewer directories at once".into(),
            });
        }
        Ok(())
    }
}

fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase())
}

fn is_text(path: &Path) -> bool {
    ending(path).is_none_or(|ending| TEXT.iter().chain(&MARKDOWN).any(|known| *known == ending))
}

impl Found {
    /// The markup of the file, by its name.
    pub fn form(&self) -> Form {
        match ending(&self.path).is_some_and(|ending| MARKDOWN.iter().any(|known| *known == ending)) {
            true => Form::Markdown,
            false => Form::Plain,
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] if the file is too long or is not UTF-8 text.
    pub fn read(&self) -> Result<String> {
        let file: File = open_regular(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
        let bytes = read_at_most(file, &self.path, MOST_BYTES)?;
        let no_text = |problem: &str| Error::Input {
            problem: format!("{} {problem}", self.path.display()),
            help: "Give text in UTF-8".into(),
        };
        if bytes.contains(&0) {
            return Err(no_text("is binary"));
        }
        String::from_utf8(bytes).map_err(|e| no_text(&format!("is not UTF-8 at byte {}", e.utf8_error().valid_up_to())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_is_searched_and_what_is_left_out() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["b.md", "a.TXT", "README", "x.png", ".hidden.md", "inner/c.markdown", ".git/d.md", "inner/e.rs"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), name).unwrap();
        }
        symlink("..", at("inner/loop")).unwrap();
        symlink("b.md", at("link.md")).unwrap();
        let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\n.txt"));
        std::fs::write(&odd, "odd").unwrap();
        let files = Files::find(&[dir.path().to_owned(), at("b.md"), at("inner")]).unwrap();
        let names: Vec<PathBuf> =
            files.found.iter().map(|f| f.path.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        let expected = ["README", "a.TXT", "b.md", "inner/c.markdown"].map(PathBuf::from);
        assert_eq!(names[..4], expected);
        assert_eq!(files.found[4].path, odd);
        assert_eq!((files.found.len(), files.hidden, files.links, files.others), (5, 2, 3, 3));
        assert!(files.skipped.is_empty());
        // A named file is read whatever its name is, and through links.
        let named = Files::find(&[at(".hidden.md"), at("x.png"), at("link.md")]).unwrap();
        assert!(named.found.len() == 3 && named.found.iter().all(|found| found.is_named));
        assert_eq!(Files::find(&[at("none.md")]).unwrap_err().code(), "io");
        assert_eq!([Form::Markdown, Form::Plain], [&files.found[3], &files.found[1]].map(Found::form));
    }

    #[test]
    fn only_text_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let read = |bytes: &[u8]| {
            let path = dir.path().join("a.txt");
            std::fs::write(&path, bytes).unwrap();
            Found { path, is_named: false }.read()
        };
        assert_eq!(read("naïve\r\n".as_bytes()).unwrap(), "naïve\r\n");
        for (bytes, says) in [(&b"a\0b"[..], "binary"), (b"abc\xff", "at byte 3"), (b"\xff\xfea\0", "binary")] {
            let error = read(bytes).unwrap_err();
            assert!(error.code() == "input" && error.to_string().contains(says), "{error}");
        }
        assert_eq!(read(&vec![b'a'; MOST_BYTES as usize + 1]).unwrap_err().code(), "input");
        assert_eq!(Found { path: dir.path().into(), is_named: true }.read().unwrap_err().code(), "io");
    }
}
