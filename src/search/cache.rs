//! Keeps passages and their vectors between searches: one file for each text, named after the text's digest.
//!
//! A changed text has another digest, so no entry can be out of date. An unreadable or damaged file counts as missing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::passages::Passage;
use crate::error::{Error, Result};
use crate::files::{open_regular, read_at_most, write_atomically};

/// The maximum size of all files of a cache together. The least recently used files are removed first.
pub const MOST_BYTES: u64 = 1 << 30;

/// The first bytes of a file. The number changes with the format or the way passages are cut.
const MAGIC: &[u8; 16] = b"cloze search 01\n";

/// The number of letters of a fingerprint in the name of a directory.
const MODEL: usize = 32;

/// The sizes of a digest and of a passage's place: its start, its end and its line.
const DIGEST: usize = 32;
const PLACE: usize = 24;

/// A directory with vectors of one model.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    dir: PathBuf,
}

/// The passages of a text, and their vectors one after another.
#[derive(Debug, Default, PartialEq)]
pub struct Vectors {
    /// The passages, in the order of the text.
    pub passages: Vec<Passage>,
    /// Their vectors, one row for each passage.
    pub values: Vec<f32>,
}

impl Cache {
    /// Opens the cache in `root` for the model with this [`fingerprint`].
    ///
    /// # Errors
    /// [`Error::Io`] if the directory does not exist and cannot be created.
    pub fn open(root: &Path, fingerprint: &str) -> Result<Self> {
        let dir = root.join(fingerprint.get(..MODEL).unwrap_or(fingerprint));
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        // Vectors reveal something about their texts.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir).map_err(|e| Error::io("make", &dir, e))?;
        Ok(Self { root: root.to_owned(), dir })
    }

    fn path(&self, text: &str) -> PathBuf {
        self.dir.join(hex(&Sha256::digest(text)))
    }

    /// Returns the entry of a text, with vectors of `width` numbers.
    pub fn get(&self, text: &str, width: usize) -> Option<Vectors> {
        let path = self.path(text);
        let file = open_regular(&path).ok()?;
        let length = file.metadata().ok()?.len();
        // A text has at most as many passages as bytes.
        let most = (MAGIC.len() + 8 + DIGEST) as u64 + text.len() as u64 * (PLACE + 4 * width) as u64;
        if length > most {
            return None;
        }
        let vectors = decode(&read_at_most(&file, &path, most).ok()?, text, width)?;
        // The time records that the entry was used. If it cannot be set, the entry is only removed sooner.
        let _ = file.set_modified(SystemTime::now());
        Some(vectors)
    }

    /// Stores the passages and vectors of a text.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn put(&self, text: &str, vectors: &Vectors) -> Result<()> {
        write_atomically(&self.path(text), &encode(vectors))
    }

    /// Removes the least recently used files, of all models, until the rest takes at most `most` bytes.
    pub fn prune(&self, most: u64) {
        // The user may have named any directory, so this removes only files that a cache has written.
        let is_hex = |name: &str, length: usize| name.len() == length && name.bytes().all(|b| b.is_ascii_hexdigit());
        let mut files = Vec::new();
        for dir in entries(&self.root).iter().filter(|dir| is_hex(&name(dir), MODEL)) {
            for path in entries(dir) {
                // The name of a partial file begins with a dot, then has the digest.
                if !is_hex(name(&path).trim_start_matches('.').get(..2 * DIGEST).unwrap_or_default(), 2 * DIGEST) {
                    continue;
                }
                if let Ok(about) = std::fs::symlink_metadata(&path)
                    && about.is_file()
                {
                    files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), path));
                }
            }
        }
        let mut sum: u64 = files.iter().map(|(_, length, _)| length).sum();
        if sum <= most {
            return;
        }
        files.sort();
        for (_, length, path) in files {
            // This frees more than necessary, so that not every search has to do it.
            if sum <= most / 4 * 3 {
                break;
            }
            if std::fs::remove_file(&path).is_ok() {
                sum -= length;
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The entries of a directory; none if it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).into_iter().flatten();
    all.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn encode(Vectors { passages, values }: &Vectors) -> Vec<u8> {
    let width = values.len() / passages.len().max(1);
    let mut bytes = MAGIC.to_vec();
    bytes.extend((passages.len() as u32).to_le_bytes());
    bytes.extend((width as u32).to_le_bytes());
    for Passage { bytes: range, line } in passages {
        [range.start, range.end, *line].iter().for_each(|n| bytes.extend((*n as u64).to_le_bytes()));
    }
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

/// Returns `None` if any byte has changed, or if the entry belongs to another text.
fn decode(bytes: &[u8], text: &str, width: usize) -> Option<Vectors> {
    let (bytes, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if Sha256::digest(bytes).as_slice() != digest {
        return None;
    }
    let rest = bytes.strip_prefix(MAGIC)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (wide, rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    if count > 0 && u32::from_le_bytes(*wide) as usize != width {
        return None;
    }
    let (places, values) = rest.split_at_checked(count.checked_mul(PLACE)?)?;
    if values.len() != count.checked_mul(width)?.checked_mul(4)? {
        return None;
    }
    let numbers: Vec<usize> = places
        .chunks_exact(8)
        .map(|eight| usize::try_from(u64::from_le_bytes(eight.try_into().unwrap_or_default())).unwrap_or(usize::MAX))
        .collect();
    let passage = |place: &[usize]| {
        let [start, end, line] = *place else { return None };
        text.get(start..end).map(|_| Passage { bytes: start..end, line })
    };
    let passages = numbers.chunks_exact(3).map(passage).collect::<Option<Vec<_>>>()?;
    let value = |four: &[u8]| f32::from_le_bytes(four.try_into().unwrap_or_default());
    Some(Vectors { passages, values: values.chunks_exact(4).map(value).collect() })
}

/// A digest of everything that a model's vectors depend on: the files in its directories, the value `and`, and this version.
///
/// # Errors
/// [`Error::Io`]
pub fn fingerprint(dirs: &[&Path], and: &[&str]) -> Result<String> {
    let mut sum = Sha256::new();
    sum.update(MAGIC);
    for part in [env!("CARGO_PKG_VERSION")].iter().chain(and) {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    for dir in dirs {
        for path in parts(dir)? {
            let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
            sum.update((name.len() as u64).to_le_bytes());
            sum.update(name);
            sum.update(file_digest(&path).map_err(|e| Error::io("read", &path, e))?);
        }
    }
    Ok(hex(&sum.finalize()))
}

fn file_digest(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = BufReader::with_capacity(1 << 18, open_regular(path)?);
    let mut sum = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(sum.finalize().to_vec());
        }
        sum.update(bytes);
        let length = bytes.len();
        file.consume(length);
    }
}

/// The files of a model, in its directory and in those of its modules.
fn parts(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = |dir: &Path| -> Result<Vec<PathBuf>> {
        let all =
            std::fs::read_dir(dir).and_then(|all| all.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>());
        all.map_err(|e| Error::io("read", dir, e))
    };
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = name.rsplit('.').next().unwrap_or_default();
        let weights = ending == "bin" && (name.starts_with("pytorch_model") || name.starts_with("adapter_model"));
        path.is_file() && (weights || ["json", "txt", "safetensors"].contains(&ending))
    };
    let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    dirs.extend(read(dir)?.into_iter().filter(|path| path.is_dir()));
    for dir in dirs {
        files.extend(read(&dir)?.into_iter().filter(is_part));
    }
    files.sort();
    Ok(files)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const TEXT: &str = "Ein Größeres. Zwei.";

    fn some() -> Vectors {
        let passages = vec![Passage { bytes: 0..15, line: 1 }, Passage { bytes: 16..21, line: 1 }];
        Vectors { passages, values: vec![0.5, -0.25, 1.0, f32::MIN_POSITIVE] }
    }

    #[test]
    fn what_was_kept_comes_back_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), "abc").unwrap();
        assert_eq!(cache.get(TEXT, 2), None);
        cache.put(TEXT, &some()).unwrap();
        assert_eq!(cache.get(TEXT, 2), Some(some()));
        assert_eq!(cache.get("Another text.", 2), None);
        assert_eq!(cache.get(TEXT, 3), None, "of another width");
        let other = Cache::open(root.path(), "abd").unwrap();
        assert_eq!(other.get(TEXT, 2), None, "of another model");
        let none = Vectors::default();
        cache.put("", &none).unwrap();
        assert_eq!(cache.get("", 2), Some(none));
        // Every byte is changed once, and every byte is missing once.
        let path = cache.path(TEXT);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.get(TEXT, 2), None, "byte {at} is another");
            std::fs::write(&path, &good[..at]).unwrap();
            assert_eq!(cache.get(TEXT, 2), None, "cut at {at}");
        }
        // The file is complete, but the places are not in the text.
        for (start, end) in [(0, 99), (5, 2), (6, 7)] {
            let wrong = Vectors { passages: vec![Passage { bytes: start..end, line: 1 }], values: vec![1.0, 2.0] };
            cache.put(TEXT, &wrong).unwrap();
            assert_eq!(cache.get(TEXT, 2), None, "{wrong:?}");
        }
        std::fs::write(&path, vec![0; 10 << 20]).unwrap();
        assert_eq!(cache.get(TEXT, 2), None);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(cache.get(TEXT, 2), None);
    }

    #[test]
    fn a_full_cache_forgets_what_was_used_longest_ago() {
        let root = tempfile::tempdir().unwrap();
        let caches = ["a", "b"].map(|name| Cache::open(root.path(), &name.repeat(64)).unwrap());
        // Files of other programs stay, even in the directory of a cache.
        std::fs::create_dir(root.path().join("mine")).unwrap();
        let others = [root.path().join("mine/book"), caches[0].dir.join("notes.txt"), root.path().join("letter")];
        others.iter().for_each(|path| std::fs::write(path, [0; 4096]).unwrap());
        let texts: Vec<String> = (0..8).map(|i| format!("{TEXT} {i}")).collect();
        for (i, text) in texts.iter().enumerate() {
            let cache = &caches[i % 2];
            cache.put(text, &some()).unwrap();
            let old = SystemTime::now() - std::time::Duration::from_secs(1000 - i as u64);
            File::options().write(true).open(cache.path(text)).unwrap().set_modified(old).unwrap();
        }
        let size = encode(&some()).len() as u64;
        caches[0].prune(8 * size);
        assert!((0..8).all(|i| caches[i % 2].get(&texts[i], 2).is_some()));
        // Reading an entry makes it the newest.
        for i in (0..8).rev() {
            let now = SystemTime::now() - std::time::Duration::from_secs(100 + i as u64);
            File::options().write(true).open(caches[i % 2].path(&texts[i])).unwrap().set_modified(now).unwrap();
        }
        assert!(caches[1].get(&texts[7], 2).is_some());
        caches[0].prune(4 * size);
        let kept: Vec<usize> = (0..8).filter(|i| caches[i % 2].get(&texts[*i], 2).is_some()).collect();
        assert_eq!(kept, [0, 1, 7]);
        caches[0].prune(0);
        assert!((0..8).all(|i| caches[i % 2].get(&texts[i], 2).is_none()) && others.iter().all(|path| path.exists()));
    }

    #[test]
    fn another_model_has_another_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), text).unwrap();
        };
        write("config.json", "{}");
        write("model.safetensors", "weights");
        write("1_Pooling/config.json", "{}");
        let now = || fingerprint(&[root], &["cpu"]).unwrap();
        let first = now();
        assert_eq!(first, now());
        assert_ne!(first, fingerprint(&[root], &["gpu"]).unwrap());
        write("README.md", "for people");
        write("onnx/model.onnx", "not read");
        assert_eq!(first, now());
        let mut seen = vec![first];
        for (name, text) in [("model.safetensors", "weight5"), ("1_Pooling/config.json", "[]"), ("vocab.txt", "a")] {
            write(name, text);
            assert!(!seen.contains(&now()), "{name}");
            seen.push(now());
        }
    }
}
