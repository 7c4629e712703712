//! A strict reader for the header of a safetensors file.
//!
//! A file has eight bytes for the length of the header, a JSON object of `name: {dtype, shape, data_offsets}`, then the
//! data. The `safetensors` crate does not say which tensor is wrong, and can use much more memory than the header
//! itself. Here the tensors must cover the data exactly, every fault names its tensor, and the result takes less memory
//! than the text. As in that crate, the last of two equal names is used.

use std::fmt;
use std::sync::atomic::AtomicBool;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, Help, Result, clip, clip_message};
use crate::tensor::DType;

/// The limit of the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// The shortest text of an entry: `"":{"dtype":"I8","shape":[],"data_offsets":[0,1]},`
const MIN_ENTRY_TEXT: usize = 50;

/// The nesting of header, tensor and shape.
const MAX_DEPTH: i32 = 3;

/// The longest name of a tensor.
const MAX_STRING: usize = 1024;

/// The most dimensions of a tensor in BERT.
const MAX_RANK: usize = 3;

/// The types of the format, with the bits of one element.
const TYPES: [(&str, u64); 20] = [
    ("F32", 32),
    ("F16", 16),
    ("BF16", 16),
    ("I8", 8),
    ("BOOL", 8),
    ("U8", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("I16", 16),
    ("U16", 16),
    ("I32", 32),
    ("U32", 32),
    ("I64", 64),
    ("U64", 64),
    ("F64", 64),
    ("C64", 64),
];

/// A tensor of a file: its name, type, shape and place.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    /// The start of its bytes, counted from the end of the header.
    start: u64,
    dims: [u32; MAX_RANK],
    /// The number of entries before it in the header.
    order: u32,
    rank: u8,
    /// Its index in `TYPES`.
    dtype: u8,
    /// Whether its values were checked and are finite.
    pub(crate) vetted: AtomicBool,
}

// An entry must not be larger than its text. Otherwise a header could need more memory than the file has.
const _: () = assert!(size_of::<Entry>() <= MIN_ENTRY_TEXT);

impl Entry {
    pub(crate) fn shape(&self) -> &[u32] {
        &self.dims[..usize::from(self.rank)]
    }

    /// Its type, or `None` if BERT's weights never have this type.
    pub(crate) fn dtype(&self) -> Option<DType> {
        match self.dtype_name() {
            "F32" => Some(DType::F32),
            "F64" => Some(DType::F64),
            "F16" => Some(DType::F16),
            "BF16" => Some(DType::BF16),
            "I8" => Some(DType::I8),
            _ => None,
        }
    }

    pub(crate) fn dtype_name(&self) -> &'static str {
        TYPES[usize::from(self.dtype)].0
    }

    /// An entry for a file in another format, whose bytes begin at `start`; `None` if this format lacks the type or
    /// shape.
    #[cfg(feature = "native")]
    pub(crate) fn new(name: &str, dtype: &str, shape: &[u64], start: u64) -> Option<Self> {
        let mut dims = [0; MAX_RANK];
        for (at, dim) in shape.iter().enumerate() {
            *dims.get_mut(at)? = u32::try_from(*dim).ok()?;
        }
        let dtype = TYPES.iter().position(|(known, _)| *known == dtype)? as u8;
        let (rank, vetted) = (shape.len() as u8, AtomicBool::new(false));
        Some(Self { name: name.into(), start, dims, order: 0, rank, dtype, vetted })
    }

    /// The bytes of `count` elements of a type.
    #[cfg(feature = "native")]
    pub(crate) fn bytes_for(dtype: &str, count: u64) -> Option<u64> {
        let (_, bits) = TYPES.iter().find(|(known, _)| *known == dtype)?;
        count.checked_mul(bits / 8)
    }

    /// Its bytes in `data`, the part of the file after the header.
    pub(crate) fn slice<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        // `parse` checked that the tensors cover the data.
        &data[self.range()]
    }

    /// The range of its bytes after the header.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.size().unwrap_or_default() as usize
    }

    /// Records that its bytes have moved.
    pub(crate) fn move_to(&mut self, start: usize) {
        self.start = start as u64;
    }

    /// The bytes that its type and shape need; `None` if that is fractional or too large.
    fn size(&self) -> Option<u64> {
        let bits =
            self.shape().iter().try_fold(TYPES[usize::from(self.dtype)].1, |n, d| n.checked_mul(u64::from(*d)))?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

/// Reads the header of the safetensors file `file`. Returns its tensors, sorted by name, and the start of the data.
///
/// # Errors
/// `Error::Checkpoint`, which calls the file `path`, for any fault.
pub(crate) fn parse(file: &[u8], path: &str) -> Result<(Vec<Entry>, usize)> {
    let fault = |problem: String| broken(path, None, problem, DAMAGED);
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(fault(format!("{} bytes is too short for a safetensors file", file.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER || length > rest.len() as u64 {
        return Err(fault(format!(
            "the header claims {length} bytes of a file of {}: truncated, or not a safetensors file",
            file.len()
        )));
    }
    let (header, data) = rest.split_at(length as usize);
    if header.first() != Some(&b'{') {
        return Err(fault("the header is not a JSON object".into()));
    }
    if std::str::from_utf8(header).is_err() {
        return Err(fault("the header is not UTF-8".into()));
    }
    let count = survey(header).map_err(|problem| fault(problem.into()))?;
    let mut entries = Vec::with_capacity(count);
    let mut json = serde_json::Deserializer::from_slice(header);
    Tensors(&mut entries)
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|e| fault(format!("the header cannot be read: {}", clip_message(&e))))?;

    sort(&mut entries);
    entries.dedup_by(|earlier, last| earlier.name == last.name);
    check_places(&mut entries, data.len() as u64, path)?;
    sort(&mut entries);
    Ok((entries, file.len() - data.len()))
}

/// Sorts by name; of equal names, the last comes first.
fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name).then(b.order.cmp(&a.order)));
}

/// Checks the text before it is parsed, so that parsing needs no more memory than the text. Returns the most tensors
/// that it may have. Only `__metadata__` may contain long strings, and they are skipped.
fn survey(header: &[u8]) -> Result<usize, &'static str> {
    let (mut depth, mut objects, mut in_metadata) = (0, 0, false);
    let mut at = 0;
    while let Some(byte) = header.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                objects += usize::from(depth == 2);
            }
            b'}' | b']' => depth -= 1,
            b'"' => {
                let start = at;
                while header.get(at).is_some_and(|b| *b != b'"') {
                    at += if header[at] == b'\\' { 2 } else { 1 };
                }
                let text = header.get(start..at).unwrap_or_default();
                if depth == 1 {
                    in_metadata = text == b"__metadata__";
                }
                if text.len() > MAX_STRING && !(in_metadata && depth == 2) {
                    return Err("the header has a string that is not the name of a tensor");
                }
                at += 1;
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err("the header is nested too deeply");
        }
    }
    // No entry is shorter, so a valid header cannot have more.
    Ok(objects.min(header.len() / MIN_ENTRY_TEXT))
}

/// Checks that the tensors follow each other, without gap or overlap, from the first byte of the data to the last.
fn check_places(entries: &mut [Entry], data: u64, path: &str) -> Result<()> {
    entries.sort_unstable_by_key(|e| (e.start, e.size()));
    let mut next = 0;
    for entry in entries.iter() {
        let start = entry.start;
        // `size` was already checked for this entry.
        let end = start + entry.size().unwrap_or_default();
        let name = clip(&entry.name);
        let problem = if end > data {
            format!("the tensor {name} ends at byte {end} of {data} bytes of data: the file is truncated")
        } else if start < next {
            format!("the tensor {name} overlaps the one before it (it starts at byte {start}, not {next})")
        } else if start > next {
            format!("{} bytes before the tensor {name} belong to none", start - next)
        } else {
            next = end;
            continue;
        };
        return Err(broken(path, Some(&entry.name), problem, DAMAGED));
    }
    if next != data {
        return Err(broken(path, None, format!("{} bytes at its end belong to no tensor", data - next), DAMAGED));
    }
    Ok(())
}

pub(crate) const DAMAGED: &str = "Download it again, or save the model again with safetensors";

pub(crate) fn broken(file: &str, tensor: Option<&str>, problem: String, help: impl Into<Help>) -> Error {
    Error::Checkpoint { file: file.into(), tensor: tensor.map(clip), problem, help: help.into() }
}

/// Deserializes the header object into a list.
struct Tensors<'a>(&'a mut Vec<Entry>);

impl<'de> DeserializeSeed<'de> for Tensors<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tensors<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<Box<str>>()? {
            if &*name == "__metadata__" {
                let texts = map.next_value::<Option<Texts>>().is_ok();
                if !texts || std::mem::replace(&mut has_metadata, true) {
                    return Err(A::Error::custom("__metadata__ must be an object of strings"));
                }
                continue;
            }
            let Info { dtype, shape, data_offsets: (start, end) } =
                map.next_value().map_err(|e| A::Error::custom(format!("tensor {}: {e}", clip(&name))))?;
            let (Shape { dims, rank }, order) = (shape, self.0.len() as u32);
            let entry = Entry { name, start, dims, order, rank, dtype: dtype.0, vetted: AtomicBool::new(false) };
            let fault = |problem: String| A::Error::custom(format!("tensor {}: {problem}", clip(&entry.name)));
            if end < start {
                return Err(fault(format!("it ends at byte {end}, before its start at {start}")));
            }
            if entry.size() != Some(end - start) {
                let (dtype, shape) = (entry.dtype_name(), entry.shape());
                return Err(fault(format!("{dtype} {shape:?} does not fill its {} bytes", end - start)));
            }
            self.0.push(entry);
        }
        Ok(())
    }
}

/// The contents of `__metadata__`: texts by name, which are checked but not kept.
struct Texts;

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                while map.next_entry::<Text, Text>()?.is_some() {}
                Ok(Texts)
            }
        }
        deserializer.deserialize_map(Map)
    }
}

struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(Any)
    }
}

#[derive(Deserialize)]
struct Info {
    dtype: TypeIndex,
    shape: Shape,
    data_offsets: (u64, u64),
}

struct TypeIndex(u8);

impl<'de> Deserialize<'de> for TypeIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = TypeIndex;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of a type")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<TypeIndex, E> {
                match TYPES.iter().position(|(known, _)| *known == name) {
                    Some(index) => Ok(TypeIndex(index as u8)),
                    None => Err(E::custom(format!("unknown dtype {:?}", clip(name)))),
                }
            }
        }
        deserializer.deserialize_str(Name)
    }
}

struct Shape {
    dims: [u32; MAX_RANK],
    rank: u8,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dims;
        impl<'de> Visitor<'de> for Dims {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "at most {MAX_RANK} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Shape { dims: [0; MAX_RANK], rank: 0 };
                while let Some(dim) = seq.next_element()? {
                    let rank = usize::from(shape.rank);
                    *shape.dims.get_mut(rank).ok_or_else(|| A::Error::invalid_length(rank + 1, &self))? = dim;
                    shape.rank += 1;
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_seq(Dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn refused(header: &str, data: usize, says: &str) {
        let error = parse(&file(header, data), "a.safetensors").expect_err(header);
        assert_eq!(error.code(), "checkpoint");
        assert!(error.to_string().contains(says) && error.to_string().contains("a.safetensors"), "{header}: {error}");
    }

    #[test]
    fn reads_names_shapes_and_places() {
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},
            "a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"}}   "#;
        let bytes = file(header, 16);
        let (entries, data) = parse(&bytes, "a.safetensors").unwrap();
        assert_eq!(data, 8 + header.len());
        let [a, b] = &entries[..] else { panic!("two tensors") };
        assert_eq!((&*a.name, a.dtype(), a.shape()), ("a", Some(DType::F32), &[][..]));
        assert_eq!((&*b.name, b.dtype(), b.shape()), ("b", Some(DType::F16), &[2, 3][..]));
        assert_eq!(b.slice(&bytes[data..]).len(), 12);
        assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok(), "the reference agrees");
    }

    #[test]
    fn refuses_what_is_not_exact() {
        let t = |name: &str, shape: &str, start: u64, end: u64| {
            format!(r#""{name}":{{"dtype":"I8","shape":{shape},"data_offsets":[{start},{end}]}}"#)
        };
        let two = |a: String, b: String| format!("{{{a},{b}}}");
        refused(&two(t("a", "[2]", 0, 2), t("b", "[2]", 1, 3)), 3, "b overlaps");
        refused(&two(t("a", "[2]", 0, 2), t("b", "[2]", 3, 5)), 5, "belong to none");
        refused(&two(t("a", "[2]", 0, 2), t("a", "[2]", 2, 4)), 4, "2 bytes before the tensor a");
        refused(&format!("{{{}}}", t("a", "[2]", 0, 2)), 1, "truncated");
        refused(&format!("{{{}}}", t("a", "[2]", 0, 2)), 3, "belong to no tensor");
        refused(&format!("{{{}}}", t("a", "[3]", 0, 2)), 2, "does not fill");
        refused(&format!("{{{}}}", t("a", "[2]", 2, 0)), 2, "before its start");
        refused(&format!("{{{}}}", t("a", "[4294967295,4294967295,4294967295]", 0, 2)), 2, "does not fill");
        refused(&format!("{{{}}}", t("a", "[99999999999]", 0, 2)), 2, "tensor a");
        refused(&format!("{{{}}}", t("a", "[1,1,1,1]", 0, 1)), 1, "at most 3 dimensions");
        refused(&format!("{{{}}}", t("a", "[-1]", 0, 1)), 1, "tensor a");
        refused(r#"{"a":{"dtype":"F77","shape":[1],"data_offsets":[0,1]}}"#, 1, "unknown dtype");
        refused(r#"{"a":{"dtype":"I8","shape":[1]}}"#, 0, "data_offsets");
        refused(r#"{"a":7}"#, 0, "tensor a");
        refused(&format!(r#"{{"a":{}"#, "[".repeat(1 << 16)), 0, "nested too deeply");
        refused(&format!(r#"{{"{}":1}}"#, "a".repeat(5000)), 0, "not the name of a tensor");
        for metadata in [r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{}}"#, "7", r#""a""#, r#"{"a":"b"},"__metadata__":{}"#]
        {
            refused(&format!(r#"{{"__metadata__":{metadata}}}"#), 0, "__metadata__ must be an object of strings");
        }
        refused("[]", 0, "not a JSON object");
        refused("{} {}", 0, "cannot be read");
        for bytes in [&b""[..], b"\x01", &u64::MAX.to_le_bytes(), &[9, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']] {
            assert_eq!(parse(bytes, "a").expect_err("short").code(), "checkpoint");
        }
    }
}
