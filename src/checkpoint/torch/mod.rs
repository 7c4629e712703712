//! Reads the tensors of files that `torch.save` writes, such as `pytorch_model.bin`, and ignores everything else.
//!
//! Such a file is a zip archive (since PyTorch 1.6), or pickles followed by the elements. The pickle lists the tensors
//! and their places. It is read by an interpreter that calls no function (`pickle`). Elements are used where they are
//! in the file. Only a view with elements that are not contiguous, such as a transposed one, is copied.

mod pickle;
mod zip;

use std::collections::HashMap;
use std::ops::Range;

use super::header::{Entry, broken};
use crate::error::{Result, clip};
use pickle::{Machine, Object, Storage, Tensor, Value};

/// The first pickle of a file from before PyTorch 1.6, little-endian.
const OLD_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The version of that format.
const OLD_VERSION: i64 = 1001;

/// The remedy for a file that cannot be read.
const SAVE_AGAIN: &str = "Download it again, or load it in Python and save the model with safe_serialization=True";

/// The tensors of a file, by name.
#[derive(Debug)]
pub(super) struct Found {
    /// The tensors that are contiguous in the file. Their places count from its beginning.
    pub in_file: Vec<Entry>,
    /// The other tensors. Their places count from the beginning of `copied`.
    pub copies: Vec<Entry>,
    pub copied: Vec<u8>,
}

/// Reads the tensors of the file `bytes`; `file` is its name in errors.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) describes the fault, or the name in the pickle that no tensor needs.
pub(super) fn read(bytes: &[u8], file: &str) -> Result<Found> {
    let read = if zip::is_zip(bytes) { from_zip(bytes) } else { from_pickles(bytes) };
    read.map_err(|problem| broken(file, None, problem, SAVE_AGAIN))
}

type Done<T> = std::result::Result<T, String>;

fn from_zip(bytes: &[u8]) -> Done<Found> {
    let records = zip::records(bytes)?;
    // All records are in one directory, which has the name that the file had when it was saved.
    let mut pickles = records.iter().filter_map(|(name, at)| Some((name.strip_suffix("data.pkl")?, at)));
    let (Some((dir, at)), None) = (pickles.next(), pickles.next()) else {
        return Err("it must have one data.pkl: this is not a file of torch.save".into());
    };
    let record = |name: &str| records.get(format!("{dir}{name}").as_str());
    if let Some(order) = record("byteorder").and_then(|at| bytes.get(at.clone()))
        && order != b"little"
    {
        return Err("it was saved on a big-endian machine".into());
    }
    let (machine, value, _) = Machine::run(bytes.get(at.clone()).unwrap_or_default(), 0)?;
    collect(bytes, &machine, value, |storage| record(&format!("data/{}", storage.key)).cloned())
}

fn from_pickles(bytes: &[u8]) -> Done<Found> {
    let other = |_| "it is neither a zip archive nor pickles, as torch.save writes them".to_owned();
    let (_, magic, at) = Machine::run(bytes, 0).map_err(other)?;
    if !matches!(magic, Value::Big(magic) if magic == OLD_MAGIC) {
        return Err(other(String::new()));
    }
    let (_, version, at) = Machine::run(bytes, at)?;
    if !matches!(version, Value::Int(OLD_VERSION)) {
        return Err("it is of a version of torch.save that is not known".into());
    }
    let (_, _system, at) = Machine::run(bytes, at)?;
    let (machine, value, at) = Machine::run(bytes, at)?;
    let (order, keys, mut at) = Machine::run(bytes, at)?;
    let types: HashMap<&str, Option<&'static str>> = machine
        .objects
        .iter()
        .filter_map(|object| match object {
            Object::Storage(storage) => Some((storage.key, storage.dtype)),
            _ => None,
        })
        .collect();
    let mut places = HashMap::new();
    for key in order.list(keys)? {
        let Value::Text(key) = key else { return Err("its list of storages is damaged".into()) };
        let cut = || format!("it ends before the storage {key:?}: it is truncated");
        let dtype = types.get(key).ok_or_else(|| format!("no tensor is of the storage {key:?}"))?;
        let start = at + 8;
        let count = bytes.get(at..start).and_then(|count| count.try_into().ok()).map(u64::from_le_bytes);
        let len = count.and_then(|count| Entry::bytes_for(dtype.unwrap_or("U8"), count)).ok_or_else(cut)?;
        let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).filter(|end| *end <= bytes.len());
        at = end.ok_or_else(cut)?;
        places.insert(*key, start..at);
    }
    collect(bytes, &machine, value, |storage| places.get(storage.key).cloned())
}

/// The tensors of the dictionary `value`; `place` finds a storage's bytes in the file.
fn collect<'a>(
    bytes: &[u8],
    machine: &Machine<'a>,
    value: Value<'a>,
    place: impl Fn(&Storage<'a>) -> Option<Range<usize>>,
) -> Done<Found> {
    let Some(Object::Dict(items)) = machine.get(value) else {
        return Err("it is not a dictionary of tensors".into());
    };
    let mut found = Found { in_file: Vec::new(), copies: Vec::new(), copied: Vec::new() };
    // As in Python, the last of two equal names is used.
    let last: HashMap<&str, Value<'a>> =
        items.iter().filter_map(|(name, value)| name.text().zip(Some(*value))).collect();
    for (name, value) in last {
        match machine.get(value) {
            Some(Object::Tensor(tensor)) => found.add(bytes, machine, (name, tensor), &place)?,
            Some(Object::Dict(_)) => {
                return Err(format!(
                    "it holds a dictionary, {}, and not tensors alone: a checkpoint of training",
                    clip(name)
                ));
            }
            // For example a number of steps, which is not a weight.
            _ => {}
        }
    }
    if found.in_file.is_empty() && found.copies.is_empty() {
        return Err("it holds no tensors".into());
    }
    found.in_file.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found.copies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl Found {
    fn add<'a>(
        &mut self,
        bytes: &[u8],
        machine: &Machine<'a>,
        (name, tensor): (&str, &Tensor),
        place: impl Fn(&Storage<'a>) -> Option<Range<usize>>,
    ) -> Done<()> {
        let shown = clip(name);
        let Some(Object::Storage(storage)) = machine.objects.get(tensor.storage) else {
            return Err(format!("the tensor {shown} has no storage"));
        };
        let dtype = tensor.dtype.ok_or_else(|| format!("the tensor {shown} has no type"))?;
        let held = place(storage).ok_or_else(|| format!("the storage of the tensor {shown} is missing"))?;
        let outside = || format!("the tensor {shown} does not lie inside its storage: the file is damaged");
        let size = Entry::bytes_for(dtype, 1).ok_or_else(outside)?;
        // A storage without a type counts bytes, but its views still count elements.
        let (unit, len) = match storage.dtype {
            Some(of) => (Entry::bytes_for(of, 1).ok_or_else(outside)?, Entry::bytes_for(of, storage.len)),
            None => (1, Some(storage.len)),
        };
        let base = storage.first.checked_mul(unit).ok_or_else(outside)?;
        let end =
            len.and_then(|len| base.checked_add(len)).filter(|end| *end <= held.len() as u64).ok_or_else(outside)?;
        let (count, reach) = tensor.extent().ok_or_else(outside)?;
        let first = tensor.offset.checked_mul(size).and_then(|at| at.checked_add(base)).ok_or_else(outside)?;
        let past = reach.checked_mul(size).and_then(|reach| reach.checked_add(first)).ok_or_else(outside)?;
        if past > end {
            return Err(outside());
        }
        let at = held.start as u64 + first;
        let entry = |start| {
            let entry = Entry::new(name, dtype, &tensor.shape, start);
            entry.ok_or_else(|| format!("the tensor {shown} has a shape of no BERT, {:?}", tensor.shape))
        };
        if count == 0 || tensor.is_plain() {
            self.in_file.push(entry(if count == 0 { 0 } else { at })?);
            return Ok(());
        }
        let start = self.copied.len();
        // A view can repeat elements without end. So the copy is limited to the size of the file.
        let need = count.checked_mul(size).filter(|need| *need <= (bytes.len() - start.min(bytes.len())) as u64);
        let need = need.ok_or_else(|| format!("the tensor {shown} repeats more elements than the file has"))?;
        self.copied
            .try_reserve(need as usize)
            .map_err(|_| format!("there is not enough memory for the tensor {shown}"))?;
        let made = entry(start as u64)?;
        tensor.each(|index| {
            let from = (at + index * size) as usize;
            self.copied.extend(bytes.get(from..from + size as usize).unwrap_or_default());
        });
        self.copies.push(made);
        Ok(())
    }
}

impl Tensor {
    /// The number of elements, and how far they reach beyond the offset; `None` for impossible numbers.
    fn extent(&self) -> Option<(u64, u64)> {
        if self.shape.len() != self.strides.len() {
            return None;
        }
        let count = self.shape.iter().try_fold(1u64, |n, dim| n.checked_mul(*dim))?;
        if count == 0 {
            return Some((0, 0));
        }
        let steps = self.shape.iter().zip(&self.strides);
        let last =
            steps.map(|(dim, stride)| (dim - 1).checked_mul(*stride)).try_fold(0u64, |n, step| n.checked_add(step?))?;
        Some((count, last.checked_add(1)?))
    }

    /// Whether its elements are contiguous, in row-major order.
    fn is_plain(&self) -> bool {
        let mut next = 1;
        let inner = self.shape.iter().zip(&self.strides).rev();
        inner.filter(|(dim, _)| **dim != 1).all(|(dim, stride)| {
            let fits = *stride == next;
            next = next.saturating_mul(*dim);
            fits
        })
    }

    /// Calls `visit` with the place of every element, relative to the first. There must be at least one.
    fn each(&self, mut visit: impl FnMut(u64)) {
        let mut index = vec![0; self.shape.len()];
        loop {
            visit(index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum());
            let step = index.iter_mut().zip(&self.shape).rev().find_map(|(i, dim)| {
                *i += 1;
                if *i < *dim {
                    return Some(());
                }
                *i = 0;
                None
            });
            if step.is_none() {
                return;
            }
        }
    }
}

impl<'a> Value<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/fixtures/torch/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn refused(bytes: &[u8], says: &str) {
        let error = read(bytes, "a.bin").expect_err(says);
        assert!(error.code() == "checkpoint" && error.to_string().contains(says), "{says}: {error}");
    }

    #[test]
    fn every_tensor_is_what_pytorch_saved() {
        let wanted = fixture("tensors.safetensors");
        let wanted = safetensors::SafeTensors::deserialize(&wanted).unwrap();
        for name in ["zip.bin", "zip4.bin", "old.bin"] {
            let bytes = fixture(name);
            let found = read(&bytes, name).unwrap();
            assert_eq!(found.in_file.len() + found.copies.len(), wanted.len(), "{name}");
            let copies: Vec<&str> = found.copies.iter().map(|entry| &*entry.name).collect();
            assert_eq!(copies, ["columns", "every_other", "repeated", "transposed"], "{name}");
            let in_file = found.in_file.iter().map(|entry| (entry, &bytes));
            for (entry, data) in in_file.chain(found.copies.iter().map(|entry| (entry, &found.copied))) {
                let wanted = wanted.tensor(&entry.name).unwrap();
                let shape: Vec<usize> = entry.shape().iter().map(|dim| *dim as usize).collect();
                assert_eq!((shape.as_slice(), entry.slice(data)), (wanted.shape(), wanted.data()), "{}", entry.name);
                assert_eq!(format!("{:?}", wanted.dtype()), entry.dtype_name(), "{}", entry.name);
            }
        }
    }

    #[test]
    fn nothing_but_tensors_is_read() {
        refused(&fixture("code.bin"), "posix.system");
        refused(&fixture("nested.bin"), "state_dict");
        refused(b"", "neither a zip archive nor pickles");
        refused(b"PK\x03\x04 and no more", "truncated");
        refused(b"\x80\x02}q\x00.", "neither a zip archive nor pickles");
    }

    #[test]
    fn a_cut_file_is_an_error() {
        for name in ["zip.bin", "old.bin"] {
            let bytes = fixture(name);
            for end in (0..bytes.len()).step_by(7) {
                assert_eq!(read(&bytes[..end], name).expect_err(name).code(), "checkpoint");
            }
        }
    }
}
