//! The source of a checkpoint's bytes: one or several mapped files, or bytes in memory.
//!
//! A mapped file must not be truncated or written while a model uses it. Otherwise the operating system ends the
//! process with SIGBUS, or the weights change. Every reader of safetensors that does not copy has this limit. This
//! crate replaces files by renaming, which does not affect a mapping. If other programs may write to a file in place,
//! set the environment variable `CLOZE_NO_MMAP=1`: then weights are read into memory.

use std::borrow::Cow;

use super::header::{self, Entry};
#[cfg(feature = "native")]
use crate::error::{Error, clip_message};
use crate::error::{Result, clip};

/// The files of a model's tokenizer. One of these is beside its weights.
pub const TOKENIZERS: [&str; 2] = ["tokenizer.json", "vocab.txt"];

/// The tensors of one file: safetensors, or one that `torch.save` wrote.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Its name in errors.
    pub(crate) file: String,
    bytes: Bytes,
    /// The start of the data.
    data: usize,
    /// The tensors, sorted by name.
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
enum Bytes {
    Held(Cow<'static, [u8]>),
    /// Tensors that have another order in the file, copied from it.
    #[cfg(feature = "native")]
    Copied(Vec<u8>),
    #[cfg(feature = "native")]
    Mapped(memmap2::Mmap),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Held(bytes) => bytes,
            #[cfg(feature = "native")]
            Bytes::Copied(bytes) => bytes,
            #[cfg(feature = "native")]
            Bytes::Mapped(map) => map,
        }
    }
}

/// The bytes of a shard, if it owns them and its tensors may be moved or released; `None` for mapped or compiled-in
/// bytes. It is also `None` for `.bin` files, whose tensors may share bytes and are not in the order of their names.
fn movable<'a>(bytes: &'a mut Bytes, file: &str) -> Option<&'a mut Vec<u8>> {
    match bytes {
        Bytes::Held(Cow::Owned(bytes)) if !file.ends_with(".bin") => Some(bytes),
        _ => None,
    }
}

impl Shard {
    /// A file in memory.
    pub(crate) fn held(bytes: Cow<'static, [u8]>, file: &str) -> Result<Self> {
        Self::new(Bytes::Held(bytes), file.into())
    }

    fn new(bytes: Bytes, file: String) -> Result<Self> {
        let (entries, data) = header::parse(&bytes, &file)?;
        Ok(Self { file, bytes, data, entries })
    }

    /// The tensors of a file in either format, by its name: one shard, or two if some tensors had to be copied.
    #[cfg(feature = "native")]
    fn any(bytes: Bytes, file: String) -> Result<Vec<Self>> {
        if !file.ends_with(".bin") {
            return Ok(vec![Self::new(bytes, file)?]);
        }
        let super::torch::Found { in_file, copies, copied } = super::torch::read(&bytes, &file)?;
        let more = (!copies.is_empty()).then(|| Self {
            file: file.clone(),
            bytes: Bytes::Copied(copied),
            data: 0,
            entries: copies,
        });
        Ok(std::iter::once(Self { file, bytes, data: 0, entries: in_file }).chain(more).collect())
    }

    /// The same with bytes in memory.
    #[cfg(feature = "native")]
    pub(crate) fn held_any(bytes: Cow<'static, [u8]>, file: &str) -> Result<Vec<Self>> {
        Self::any(Bytes::Held(bytes), file.into())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.binary_search_by(|e| (*e.name).cmp(name)).ok().and_then(|i| self.entries.get(i))
    }

    /// Releases all tensors except the `wanted` ones, if the shard owns its bytes.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        let Some(bytes) = movable(&mut self.bytes, &self.file) else { return };
        self.entries.retain(|entry| wanted(&entry.name));
        // In place, because there may be no memory for a second buffer.
        self.entries.sort_unstable_by_key(|entry| entry.range().start);
        let mut end = 0;
        for entry in &mut self.entries {
            let range = entry.range();
            bytes.copy_within(self.data + range.start..self.data + range.end, end);
            entry.move_to(end);
            end += range.len();
        }
        bytes.truncate(end);
        bytes.shrink_to_fit();
        self.data = 0;
        self.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }

    /// The position of a tensor in the file.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.find(name).map(|entry| entry.range().start)
    }

    /// Moves the tensors after the last `front` tensor into a shard of their own, if they are small and the shard owns
    /// its bytes. Then [`let_go`](Self::let_go) can free memory from the end.
    pub(crate) fn split_tail(&mut self, front: impl Fn(&str) -> bool) -> Option<Self> {
        let bytes = movable(&mut self.bytes, &self.file)?;
        let in_front = |entry: &&Entry| front(&entry.name);
        let end = self.entries.iter().filter(in_front).map(|entry| entry.range().end).max()?;
        let tail = self.data + end..bytes.len();
        if tail.is_empty() || tail.len() > MOST_MOVED {
            return None;
        }
        let own = bytes[tail].to_vec();
        bytes.truncate(self.data + end);
        bytes.shrink_to_fit();
        let mut behind = Vec::new();
        for mut entry in std::mem::take(&mut self.entries) {
            match entry.range().start.checked_sub(end) {
                Some(start) => {
                    entry.move_to(start);
                    behind.push(entry);
                }
                None => self.entries.push(entry),
            }
        }
        Some(Self { file: self.file.clone(), bytes: Bytes::Held(Cow::Owned(own)), data: 0, entries: behind })
    }

    /// Releases the tensors that are not `wanted`, and frees the memory after the last wanted one, if the shard owns
    /// its bytes.
    pub(crate) fn let_go(&mut self, wanted: impl Fn(&str) -> bool) {
        let Some(bytes) = movable(&mut self.bytes, &self.file) else { return };
        self.entries.retain(|entry| wanted(&entry.name));
        let end = self.entries.iter().map(|entry| entry.range().end).max().unwrap_or(0);
        bytes.truncate(self.data + end);
        bytes.shrink_to_fit();
    }

    /// The JSON header of a safetensors file, unless [`keep`](Self::keep) has released it.
    #[cfg(all(feature = "native", feature = "train"))]
    pub(crate) fn header(&self) -> &[u8] {
        self.bytes.get(8..self.data).unwrap_or_default()
    }

    /// The whole file; empty for copied tensors.
    #[cfg(feature = "train")]
    pub(crate) fn file_bytes(&self) -> &[u8] {
        #[cfg(feature = "native")]
        if matches!(self.bytes, Bytes::Copied(_)) {
            return &[];
        }
        &self.bytes
    }

    /// The bytes of a tensor of this shard.
    pub(crate) fn bytes_of(&self, entry: &Entry) -> &[u8] {
        entry.slice(&self.bytes[self.data..])
    }
}

/// The most bytes after the encoder's layers that are copied so that the layers can be freed.
const MOST_MOVED: usize = 16 << 20;

const SAVE_AGAIN: &str = "Save the model again with safetensors";

/// # Errors
/// `Error::Checkpoint` if two files of a model have a tensor of the same name.
pub(super) fn no_tensor_twice(shards: &[Shard]) -> Result<()> {
    for (i, shard) in shards.iter().enumerate() {
        for other in shards.iter().skip(i + 1) {
            if let Some(twice) = shard.entries.iter().find(|e| other.find(&e.name).is_some()) {
                let problem = format!("the tensor {} is in {} as well", clip(&twice.name), other.file);
                return Err(header::broken(&shard.file, Some(&twice.name), problem, SAVE_AGAIN));
            }
        }
    }
    Ok(())
}

#[cfg(feature = "native")]
pub(crate) use native::{WEIGHTS, open, read_small};
#[cfg(feature = "hub")]
pub(crate) use native::{class_of, no_weights_among, shard_names};
#[cfg(all(feature = "native", feature = "train"))]
pub(crate) use native::{map, open_file};

#[cfg(feature = "native")]
mod native {
    use std::collections::BTreeSet;
    use std::io::Read;
    use std::path::Path;

    use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

    use super::header::broken;
    use super::*;
    use crate::files::open_regular;

    /// The weights of a whole model, in the order in which transformers looks for them. The first file that exists is
    /// used. An index names other files.
    pub(crate) const WEIGHTS: [&str; 4] =
        ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

    const MAX_INDEX: u64 = 100_000_000;
    const MAX_SHARDS: usize = 1000;

    /// Reads a whole file that must be small.
    pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
        let read = || {
            let file = open_regular(path)?;
            let size = file.metadata()?.len();
            if size > limit {
                return Err(std::io::Error::other(format!("{size} bytes, at most {limit} are expected")));
            }
            let mut bytes = Vec::with_capacity(size as usize);
            file.take(size).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|e| Error::io("read", path, e))
    }

    /// Opens the weights in the directory `dir`, of a model or of one of its modules: the first of [`WEIGHTS`] that
    /// exists.
    pub(crate) fn open(dir: &Path) -> Result<Vec<Shard>> {
        let Some(found) = WEIGHTS.iter().map(|name| dir.join(name)).find(|path| path.exists()) else {
            return Err(no_weights(dir));
        };
        let is_index = found.extension().is_some_and(|end| end == "json");
        let opened = if is_index { open_index(dir, &found) } else { open_file(&found) };
        // Python can read such a file, with the class that keeps the model's head.
        opened.map_err(|error| match error {
            Error::Checkpoint { file, tensor, problem, help } if file.ends_with(".bin") => {
                let help = help.and(format!(". {}", in_python(&dir.display().to_string(), "", &class_of(dir))));
                Error::Checkpoint { file, tensor, problem, help }
            }
            other => other,
        })
    }

    /// The tensors of one file: safetensors, or a PyTorch file if its name ends with `.bin`.
    pub(crate) fn open_file(path: &Path) -> Result<Vec<Shard>> {
        Shard::any(bytes_of_file(path)?, path.display().to_string())
    }

    /// The tensors of a safetensors file.
    #[cfg(feature = "train")]
    pub(crate) fn map(path: &Path) -> Result<Shard> {
        Shard::new(bytes_of_file(path)?, path.display().to_string())
    }

    /// The bytes of a file, mapped, or read if `CLOZE_NO_MMAP` is set.
    fn bytes_of_file(path: &Path) -> Result<Bytes> {
        let mut file = open_regular(path).map_err(|e| Error::io("read", path, e))?;
        if std::env::var_os("CLOZE_NO_MMAP").is_some_and(|value| !value.is_empty() && value != "0") {
            let need = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(usize::try_from(need).unwrap_or(usize::MAX)).map_err(|_| Error::Memory {
                what: path.display().to_string(),
                need,
                have: 0,
                help: "Unset CLOZE_NO_MMAP, and the file is mapped".into(),
            })?;
            file.read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
            return Ok(Bytes::Held(Cow::Owned(bytes)));
        }
        // SAFETY: the mapping is read-only and private to this process. The module describes what other processes may
        // still do to it.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        Ok(Bytes::Mapped(map))
    }

    /// The files that an index names. Each must be a plain name.
    #[cfg(feature = "hub")]
    pub(crate) fn shard_names(path: &Path) -> Result<BTreeSet<String>> {
        names_in(&read_small(path, MAX_INDEX)?, &path.display().to_string())
    }

    /// Calls `visit` with every tensor and its file in the text of an index.
    fn visit_index(json: &[u8], file: &str, visit: &mut dyn FnMut(&str, &str) -> Result<(), String>) -> Result<()> {
        let mut json = serde_json::Deserializer::from_slice(json);
        (Index { visit })
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|e| broken(file, None, format!("the index cannot be used: {}", clip_message(&e)), SAVE_AGAIN))
    }

    /// The files that an index names. All must be of the kind that the index's own name implies.
    fn names_in(json: &[u8], file: &str) -> Result<BTreeSet<String>> {
        let end = if file.ends_with(".bin.index.json") { ".bin" } else { ".safetensors" };
        let mut names = BTreeSet::new();
        visit_index(json, file, &mut |_, shard| {
            if !is_plain_name(shard) || !shard.ends_with(end) {
                return Err(format!("{:?} is not the name of a {end} file beside it", clip(shard)));
            }
            if !names.contains(shard) {
                names.insert(shard.to_string());
            }
            if names.len() > MAX_SHARDS { Err(format!("more than {MAX_SHARDS} shards")) } else { Ok(()) }
        })?;
        if names.is_empty() {
            return Err(broken(file, None, "the weight_map names no file".into(), SAVE_AGAIN));
        }
        Ok(names)
    }

    fn open_index(dir: &Path, path: &Path) -> Result<Vec<Shard>> {
        let json = read_small(path, MAX_INDEX)?;
        let file = path.display().to_string();
        // The text is read twice, so that it never becomes a second, larger table in memory.
        let names = names_in(&json, &file)?;
        let mut shards = Vec::with_capacity(names.len());
        for name in &names {
            let shard = dir.join(name);
            if !shard.exists() {
                let problem = format!("the shard {name} that it names is missing");
                return Err(broken(&file, None, problem, "Download all the files that the index names"));
            }
            shards.extend(open_file(&shard)?.into_iter().map(|shard| (name.as_str(), shard)));
        }

        // As in transformers, a tensor counts if it is listed, in whichever file it is. A listed tensor that is in no
        // file is missing only if the model has such a tensor.
        let mut marks: Vec<Vec<bool>> = shards.iter().map(|(_, shard)| vec![false; shard.entries.len()]).collect();
        visit_index(&json, &file, &mut |tensor, listed| {
            let place = |(_, shard): &(&str, Shard)| shard.entries.binary_search_by(|e| (*e.name).cmp(tensor)).ok();
            let here = shards.iter().position(|held| held.0 == listed && place(held).is_some());
            let at = here.or_else(|| shards.iter().position(|held| place(held).is_some()));
            if let Some(at) = at
                && let Some(mark) = place(&shards[at]).and_then(|entry| marks[at].get_mut(entry))
            {
                *mark = true;
            }
            Ok(())
        })?;
        // Tensors that the index does not list are not part of the model.
        let mut kept = Vec::with_capacity(shards.len());
        for ((_, mut shard), marks) in shards.into_iter().zip(marks) {
            let mut marks = marks.into_iter();
            shard.entries.retain(|_| marks.next().unwrap_or(false));
            kept.push(shard);
        }
        no_tensor_twice(&kept)?;
        Ok(kept)
    }

    /// Whether an index may name this file: one in the same directory, and of the right kind.
    fn is_plain_name(name: &str) -> bool {
        name.len() <= 255
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            && !name.contains("..")
    }

    fn no_weights(dir: &Path) -> Error {
        let name = dir.display().to_string();
        if !dir.is_dir() {
            let problem = if dir.exists() { "not a directory" } else { "no such directory" };
            return broken(
                &name,
                None,
                problem.into(),
                "Give the directory of a model: config.json, model.safetensors, vocab.txt",
            );
        }
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let files: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        no_weights_among(files, &name, "DIR", &class_of(dir))
    }

    /// The class in transformers that saved a model, if its `config.json` names one.
    pub(crate) fn class_of(dir: &Path) -> String {
        #[derive(serde::Deserialize)]
        struct Named {
            architectures: Vec<String>,
        }
        let text = read_small(&dir.join("config.json"), 16 << 20).unwrap_or_default();
        let named: Option<Named> = serde_json::from_slice(&text).ok();
        let is_class =
            |name: &String| name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let class = named.and_then(|named| named.architectures.into_iter().next()).filter(is_class);
        class.unwrap_or_else(|| "AutoModelForPreTraining".into())
    }

    /// The Python code that saves a model as safetensors; `model` is its name in Python.
    fn in_python(model: &str, from: &str, class: &str) -> String {
        format!(
            "In Python: transformers.{class}.from_pretrained({model:?}{from}).save_pretrained({model:?}, safe_serialization=True)"
        )
    }

    /// The error for a model without readable weights that has these files. `model` is its name in Python, and `class`
    /// is its class.
    pub(crate) fn no_weights_among(mut files: Vec<String>, name: &str, model: &str, class: &str) -> Error {
        files.sort_unstable();
        let other = |wanted: fn(&str) -> bool| files.iter().find(|f| wanted(f));
        let problem = |found: &str| format!("no model.safetensors; there is {}, which is not read", clip(found));
        let python = |from: &str| in_python(model, from, class);
        if let Some(found) = other(|f| f == "tf_model.h5" || f.contains(".ckpt")) {
            return broken(name, None, problem(found), python(", from_tf=True"));
        }
        if let Some(found) = other(|f| f == "flax_model.msgpack") {
            return broken(name, None, problem(found), python(", from_flax=True"));
        }
        if let Some(found) = other(|f| f.ends_with(".onnx") || f == "onnx") {
            return broken(name, None, problem(found), "Get the safetensors of the model it was exported from");
        }
        broken(name, None, "no model.safetensors and no pytorch_model.bin".into(), "Give a Hugging Face BERT model")
    }

    /// Calls `visit` with each pair of an index's `weight_map`.
    struct Index<'a> {
        visit: &'a mut dyn FnMut(&str, &str) -> Result<(), String>,
    }

    impl<'de> DeserializeSeed<'de> for Index<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for Index<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object with a weight_map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut found = false;
            while let Some(key) = map.next_key::<Cow<str>>()? {
                if key != "weight_map" {
                    map.next_value::<IgnoredAny>()?;
                } else if std::mem::replace(&mut found, true) {
                    return Err(A::Error::custom("two weight_maps"));
                } else {
                    map.next_value_seed(Pairs(&mut *self.visit))?;
                }
            }
            if found { Ok(()) } else { Err(A::Error::missing_field("weight_map")) }
        }
    }

    struct Pairs<'a>(&'a mut dyn FnMut(&str, &str) -> Result<(), String>);

    impl<'de> DeserializeSeed<'de> for Pairs<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for Pairs<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object of tensor and file names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some((tensor, shard)) = map.next_entry::<Cow<str>, Cow<str>>()? {
                (self.0)(&tensor, &shard).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
}
