//! Where a checkpoint's bytes come from: files mapped into memory, one or several, or bytes that are there already.

use std::borrow::Cow;

use super::header::{self, Entry};
#[cfg(feature = "native")]
use crate::error::{Error, clip_message};
use crate::error::{Result, clip};

/// One safetensors file.
#[derive(Debug)]
pub(crate) struct Shard {
    /// What errors call it.
    pub(crate) file: String,
    bytes: Bytes,
    /// Where the data begins.
    data: usize,
    /// Sorted by name.
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
enum Bytes {
    Held(Cow<'static, [u8]>),
    #[cfg(feature = "native")]
    Mapped(memmap2::Mmap),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Held(bytes) => bytes,
            #[cfg(feature = "native")]
            Bytes::Mapped(map) => map,
        }
    }
}

impl Shard {
    /// A file whose bytes are in memory.
    pub(crate) fn held(bytes: Cow<'static, [u8]>, file: &str) -> Result<Self> {
        Self::new(Bytes::Held(bytes), file.into())
    }

    fn new(bytes: Bytes, file: String) -> Result<Self> {
        let (entries, data) = header::parse(&bytes, &file)?;
        Ok(Self { file, bytes, data, entries })
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.binary_search_by(|e| (*e.name).cmp(name)).ok().and_then(|i| self.entries.get(i))
    }

    /// Lets go of all tensors but the `wanted`, if the bytes are memory of this shard's own.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        let Bytes::Held(Cow::Owned(bytes)) = &mut self.bytes else { return };
        self.entries.retain(|entry| wanted(&entry.name));
        // In place: a second buffer could be more than there is room for.
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

    /// The JSON that says what is in the file, as far as [`keep`](Self::keep) has not let go of it.
    #[cfg(all(feature = "native", feature = "train"))]
    pub(crate) fn header(&self) -> &[u8] {
        self.bytes.get(8..self.data).unwrap_or_default()
    }

    /// The whole file.
    #[cfg(feature = "train")]
    pub(crate) fn file_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of one of its tensors.
    pub(crate) fn bytes_of(&self, entry: &Entry) -> &[u8] {
        entry.slice(&self.bytes[self.data..])
    }
}

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

#[cfg(feature = "hub")]
pub(crate) use native::{INDEX, no_weights_among, shard_names};
#[cfg(feature = "native")]
#[cfg(all(feature = "native", feature = "train"))]
pub(crate) use native::{WEIGHTS, map};
#[cfg(feature = "native")]
pub(crate) use native::{open, read_small};

#[cfg(feature = "native")]
mod native {
    use std::collections::BTreeSet;
    use std::io::Read;
    use std::path::Path;

    use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

    use super::header::broken;
    use super::*;
    use crate::files::open_regular;

    pub(crate) const INDEX: &str = "model.safetensors.index.json";

    /// What a whole model's weights are in: one of them.
    #[cfg(feature = "train")]
    pub(crate) const WEIGHTS: [&str; 2] = ["model.safetensors", INDEX];

    const MAX_INDEX: u64 = 100_000_000;
    const MAX_SHARDS: usize = 1000;

    /// The whole of a file that is meant to be small.
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

    /// The weights of the model in the directory `dir`: `model.safetensors`, or the files its index names.
    pub(crate) fn open(dir: &Path) -> Result<Vec<Shard>> {
        let single = dir.join("model.safetensors");
        if single.exists() {
            return Ok(vec![map(&single)?]);
        }
        let index = dir.join(INDEX);
        if index.exists() {
            return open_index(dir, &index);
        }
        Err(no_weights(dir))
    }

    pub(crate) fn map(path: &Path) -> Result<Shard> {
        let file = open_regular(path).map_err(|e| Error::io("read", path, e))?;
        // SAFETY: the mapping is read-only and private to this process. Another process that truncates the file meanwhile
        // can still stop this one with SIGBUS: the price of not copying it, paid by every reader of safetensors;
        // `convert` replaces files by renaming, which leaves a mapping whole.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        Shard::new(Bytes::Mapped(map), path.display().to_string())
    }

    /// The files that an index names, each a plain name.
    #[cfg(feature = "hub")]
    pub(crate) fn shard_names(path: &Path) -> Result<BTreeSet<String>> {
        names_in(&read_small(path, MAX_INDEX)?, &path.display().to_string())
    }

    /// Hands every tensor and its file in the text of an index to `visit`.
    fn visit_index(json: &[u8], file: &str, visit: &mut dyn FnMut(&str, &str) -> Result<(), String>) -> Result<()> {
        let mut json = serde_json::Deserializer::from_slice(json);
        (Index { visit })
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|e| broken(file, None, format!("the index cannot be used: {}", clip_message(&e)), SAVE_AGAIN))
    }

    fn names_in(json: &[u8], file: &str) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        visit_index(json, file, &mut |_, shard| {
            if !is_plain_name(shard) {
                return Err(format!("{:?} is not the name of a .safetensors file beside it", clip(shard)));
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
        // Twice over the text, so that it is never held as a second, larger table.
        let names = names_in(&json, &file)?;
        let mut shards = Vec::with_capacity(names.len());
        for name in &names {
            let shard = dir.join(name);
            if !shard.exists() {
                let problem = format!("the shard {name} that it names is missing");
                return Err(broken(&file, None, problem, "Download all the files that the index names"));
            }
            shards.push(map(&shard)?);
        }

        let mut listed: Vec<Vec<bool>> = shards.iter().map(|s| vec![false; s.entries.len()]).collect();
        visit_index(&json, &file, &mut |tensor, shard| {
            let held = names.iter().zip(&shards).zip(&mut listed).find(|((name, _), _)| *name == shard);
            let Some(((_, holder), marks)) = held else { return Err(format!("the shard {} is unknown", clip(shard))) };
            let place = holder.entries.binary_search_by(|e| (*e.name).cmp(tensor)).ok();
            match place.and_then(|i| marks.get_mut(i)) {
                None => {
                    let elsewhere = names.iter().zip(&shards).find(|(_, s)| s.find(tensor).is_some());
                    let hint = elsewhere.map_or(String::new(), |(name, _)| format!(" (it is in {name})"));
                    Err(format!("the tensor {} is not in {shard}{hint}", clip(tensor)))
                }
                Some(true) => Err(format!("the tensor {} is listed twice", clip(tensor))),
                Some(mark) => {
                    *mark = true;
                    Ok(())
                }
            }
        })?;
        // What a shard holds beyond what the index lists is no part of the model.
        for (shard, marks) in shards.iter_mut().zip(listed) {
            let mut marks = marks.into_iter();
            shard.entries.retain(|_| marks.next().unwrap_or(false));
        }
        no_tensor_twice(&shards)?;
        Ok(shards)
    }

    /// Whether an index may name this file: one beside it, of the right kind.
    fn is_plain_name(name: &str) -> bool {
        name.ends_with(".safetensors")
            && name.len() <= 255
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
        no_weights_among(files, &name, "DIR")
    }

    /// What to do about a model without safetensors, of which there are these files. Python knows it as `model`.
    pub(crate) fn no_weights_among(mut files: Vec<String>, name: &str, model: &str) -> Error {
        files.sort_unstable();
        let other = |wanted: fn(&str) -> bool| files.iter().find(|f| wanted(f));
        let problem = |found: &str| format!("no model.safetensors; there is {}, which is not read", clip(found));
        let python = |from: &str| {
            let load = format!("transformers.AutoModelForQuestionAnswering.from_pretrained({model}{from})");
            format!("In Python: {load}.save_pretrained(DIR, safe_serialization=True)")
        };
        if let Some(found) = other(|f| f.starts_with("pytorch_model") && (f.ends_with(".bin") || f.ends_with(".json")))
        {
            return broken(name, None, problem(found), &python(""));
        }
        if let Some(found) = other(|f| f == "tf_model.h5" || f.contains(".ckpt")) {
            return broken(name, None, problem(found), &python(", from_tf=True"));
        }
        if let Some(found) = other(|f| f == "flax_model.msgpack") {
            return broken(name, None, problem(found), &python(", from_flax=True"));
        }
        if let Some(found) = other(|f| f.ends_with(".onnx") || f == "onnx") {
            return broken(name, None, problem(found), "Get the safetensors of the model it was exported from");
        }
        broken(name, None, format!("neither model.safetensors nor {INDEX}"), "Give a Hugging Face BERT model")
    }

    /// The pairs of an index's `weight_map`, each handed to `visit`.
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
