//! Writing: safetensors files row by row, and whole directories that appear at once or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::sync_dir;
use crate::tensor::DType;

/// A tensor to be written.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u32>,
}

impl Planned {
    pub(crate) fn size(&self) -> u64 {
        self.shape.iter().fold(self.dtype.size() as u64, |n, d| n * u64::from(*d))
    }
}

/// Wide types first, then by name: every tensor is then aligned to its type, and the same tensors give the same file.
pub(crate) fn order(a: &Planned, b: &Planned) -> std::cmp::Ordering {
    b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name))
}

/// What comes before the data of these tensors, in this order.
pub(crate) fn header(tensors: &[Planned]) -> Vec<u8> {
    header_with(tensors, &[])
}

/// The same with texts in its metadata, by their names.
pub(crate) fn header_with(tensors: &[Planned], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut json = String::from(r#"{"__metadata__":{"format":"pt""#);
    for (name, text) in metadata {
        json += &format!(",{}:{}", serde_json::Value::from(*name), serde_json::Value::from(*text));
    }
    json.push('}');
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.size();
        let dtype = tensor.dtype.name().to_uppercase();
        let name = serde_json::Value::from(tensor.name.as_str());
        let shape: Vec<String> = tensor.shape.iter().map(u32::to_string).collect();
        let shape = shape.join(",");
        json += &format!(r#",{name}:{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{start},{end}]}}"#);
        start = end;
    }
    json.push('}');
    // The data begins at a multiple of eight.
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.into_bytes());
    bytes
}

/// Writes `tensors`, in this order, to the new file `path`; `fill` writes the bytes of the tensor with the given index.
/// Returns the file's size.
pub(crate) fn safetensors(
    path: &Path,
    tensors: &[Planned],
    mut fill: impl FnMut(usize, &mut dyn Write) -> Result<()>,
) -> Result<u64> {
    let io = |e| Error::io("write", path, e);
    let mut file = BufWriter::with_capacity(1 << 18, File::create_new(path).map_err(io)?);
    let header = header(tensors);
    file.write_all(&header).map_err(io)?;
    for index in 0..tensors.len() {
        fill(index, &mut file)?;
    }
    let file = file.into_inner().map_err(|e| io(e.into_error()))?;
    file.sync_all().map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let planned = header.len() as u64 + tensors.iter().map(Planned::size).sum::<u64>();
    assert_eq!(size, planned, "every tensor was written whole");
    Ok(size)
}

/// In the names of directories under construction inside others.
const INSIDE: &str = "cloze";

/// A directory under construction: beside the one it will become, or inside the one its files will go to, which may be a file
/// system of its own. Dropped before [`Staging::commit`], it leaves nothing.
pub(crate) struct Staging {
    dir: PathBuf,
    out: PathBuf,
}

impl Staging {
    /// Begins a directory that is to become `out`, or whose files are to go there.
    pub(crate) fn begin(out: &Path) -> Result<Self> {
        let bad = |problem: &str| Error::Option {
            name: "output",
            problem: format!("{} {problem}", out.display()),
            mend: "Give the path of a directory, new or old".into(),
        };
        if out.exists() && !out.is_dir() {
            return Err(bad("is not a directory"));
        }
        let out = if out.exists() { out.canonicalize().map_err(|e| Error::io("open", out, e))? } else { out.into() };
        let name = out.file_name().ok_or_else(|| bad("has no name"))?.to_string_lossy().into_owned();
        let parent = match out.parent() {
            _ if out.exists() => out.as_path(),
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        let mut attempt = 0;
        // Inside, a directory that is renamed later is still known by what is left in it.
        let name = if out.exists() { INSIDE } else { &name };
        loop {
            let dir = parent.join(format!(".{name}.{}-{attempt}.partial", std::process::id()));
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(Self { dir, out }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(e) => return Err(Error::io("create", dir, e)),
            }
        }
    }

    /// Whether a directory of this name was begun by some process inside the one that its files were to go to.
    #[cfg(feature = "train")]
    pub(crate) fn is_name(name: &str) -> bool {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let rest = name.strip_prefix('.').and_then(|name| name.strip_prefix(INSIDE)?.strip_prefix('.'));
        let middle = rest.and_then(|rest| rest.strip_suffix(".partial")?.split_once('-'));
        middle.is_some_and(|(process, attempt)| number(process) && number(attempt))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a small file whole.
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

    /// Moves what was built to its place: the directory as a whole where there was none; else file by file, each replacing
    /// the old one at once, and what else lies there is left alone.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { dir, out } = &self;
        sync_dir(dir).map_err(io(dir))?;
        if out.exists() {
            replace_files(dir, out)?;
        } else {
            fs::rename(dir, out).map_err(io(out))?;
        }
        if let Some(parent) = out.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_dir(parent).map_err(io(parent))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone already if it was renamed; and if it cannot be removed there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::io("write", path, e)
}

/// Moves every file below `from` to the same place below `to`.
fn replace_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() && target.is_dir() {
            replace_files(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target).map_err(io(&target))?;
        }
    }
    sync_dir(to).map_err(io(to))
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

    #[test]
    fn header_is_aligned_and_the_reference_reads_it() {
        let mut tensors = vec![
            Planned { name: "q\"1".into(), dtype: DType::I8, shape: vec![3, 5] },
            Planned { name: "b".into(), dtype: DType::BF16, shape: vec![7] },
            Planned { name: "a".into(), dtype: DType::F32, shape: vec![2, 2] },
        ];
        tensors.sort_by(order);
        assert_eq!(tensors.iter().map(|t| &*t.name).collect::<Vec<_>>(), ["a", "b", "q\"1"]);
        let mut bytes = header(&tensors);
        assert_eq!(bytes.len() % 8, 0);
        bytes.extend([0; 16 + 14 + 15]);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("q\"1").unwrap().shape(), [3, 5]);
        assert_eq!(super::super::header::parse(&bytes, "x").unwrap().0.len(), 3);
    }

    #[test]
    fn a_directory_appears_whole_or_not_at_all() {
        let temp = tempfile::tempdir().unwrap();
        let out = temp.path().join("deep/out");
        let staging = Staging::begin(&out).unwrap();
        staging.write("a", b"1").unwrap();
        drop(staging);
        assert_eq!(names(&temp.path().join("deep")), [""; 0], "nothing is left of what was given up");

        let staging = Staging::begin(&out).unwrap();
        staging.write("a", b"1").unwrap();
        staging.write("sub/b", b"1").unwrap();
        assert!(!out.exists());
        staging.commit().unwrap();
        assert_eq!((names(&out), names(&out.join("sub"))), (vec!["a".into(), "sub".into()], vec!["b".into()]));

        fs::write(out.join("mine"), b"kept").unwrap();
        fs::write(out.join("sub/mine"), b"kept").unwrap();
        let staging = Staging::begin(&out).unwrap();
        staging.write("a", b"2").unwrap();
        staging.write("sub/b", b"2").unwrap();
        assert_eq!(fs::read(out.join("a")).unwrap(), b"1");
        staging.commit().unwrap();
        assert_eq!(
            (fs::read(out.join("a")).unwrap(), fs::read(out.join("sub/b")).unwrap()),
            (b"2".into(), b"2".into())
        );
        assert_eq!(names(&out), ["a", "mine", "sub"]);
        assert_eq!(names(&out.join("sub")), ["b", "mine"]);
        assert_eq!(names(&temp.path().join("deep")), ["out"]);
        assert_eq!(Staging::begin(&out.join("mine")).err().unwrap().code(), "option");
    }
}
