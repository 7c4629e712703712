//! The weights of a module that stands on top of a model: a small file of its own, of a few tensors.

use std::borrow::Cow;

use super::header::{self, Entry, broken};
use super::source::Shard;
use super::vet;
use crate::error::{Result, clip};
use crate::tensor::{DType, HostTensor};

/// A module's weights.
#[derive(Debug)]
pub struct ModuleWeights(Vec<Shard>);

impl ModuleWeights {
    /// What a module's weights are in.
    pub const FILE: &str = "model.safetensors";

    /// Opens the weights in a module's directory.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Checkpoint`](crate::Error::Checkpoint).
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        super::source::open(dir).map(Self)
    }

    /// The same of bytes in memory; errors call them `file`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint)
    pub fn held(bytes: impl Into<Cow<'static, [u8]>>, file: &str) -> Result<Self> {
        Ok(Self(vec![Shard::held(bytes.into(), file)?]))
    }

    /// Bytes that they take on a device, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries().map(|(shard, entry)| shard.bytes_of(entry).len() as u64).sum()
    }

    fn entries(&self) -> impl Iterator<Item = (&Shard, &Entry)> {
        self.0.iter().flat_map(|shard| shard.entries.iter().map(move |entry| (shard, entry)))
    }

    /// The tensors with these names and shapes: those and no others are in the file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint)
    pub(crate) fn exactly<const N: usize>(&self, wanted: [(&str, &[usize]); N]) -> Result<[HostTensor<'_>; N]> {
        const MEND: &str = "Give the config.json and weights that were saved together";
        let file = self.0.first().map(|shard| shard.file.as_str()).unwrap_or_default();
        let fault = |name: &str, problem: String, mend: &str| Err(broken(file, Some(name), problem, mend));
        if let Some((_, other)) = self.entries().find(|(_, e)| !wanted.iter().any(|(name, _)| *name == &*e.name)) {
            return fault(&other.name, format!("the module has no tensor {}", clip(&other.name)), MEND);
        }
        let mut found = Vec::with_capacity(N);
        for (name, shape) in wanted {
            let Some((shard, entry)) = self.entries().find(|(_, e)| *e.name == *name) else {
                return fault(name, format!("{name} is missing"), MEND);
            };
            if !entry.shape().iter().map(|n| *n as usize).eq(shape.iter().copied()) {
                let problem = format!("{name} has shape {:?}, the configuration asks for {shape:?}", entry.shape());
                return fault(name, problem, MEND);
            }
            let Some(dtype) = entry.dtype().filter(|dtype| *dtype != DType::I8) else {
                let problem = format!("{name} is {}, which is not supported", entry.dtype_name());
                return fault(name, problem, "Save the model as float32, float16 or bfloat16");
            };
            let (rows, cols) = if let [rows, cols] = *shape { (rows, cols) } else { (1, shape.iter().product()) };
            let tensor = HostTensor::new(dtype, rows, cols, shard.bytes_of(entry), &[]);
            if let Some(fault_at) = vet::first_fault(&tensor) {
                let problem = format!("{name} has {} at index {}", fault_at.value, fault_at.index);
                return fault(name, problem, header::DAMAGED);
            }
            found.push(tensor);
        }
        found.try_into().map_err(|_| unreachable!("one of each"))
    }
}
