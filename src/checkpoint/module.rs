//! The weights of a module on top of a model: a small file with a few tensors.

use std::borrow::Cow;

use super::header::{self, Entry, broken};
use super::source::Shard;
use super::vet;
#[cfg(feature = "native")]
use crate::error::Error;
use crate::error::{Result, clip};
use crate::tensor::{DType, HostTensor};

/// The weights of a module.
#[derive(Debug)]
pub struct ModuleWeights(Vec<Shard>);

impl ModuleWeights {
    /// The file of a module's weights.
    pub const FILE: &str = "model.safetensors";

    /// Opens the weights in a module's directory.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`].
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        super::source::open(dir).map(Self)
    }

    /// The same with bytes in memory; `file` is their name in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn held(bytes: impl Into<Cow<'static, [u8]>>, file: &str) -> Result<Self> {
        Ok(Self(vec![Shard::held(bytes.into(), file)?]))
    }

    /// Writes them to the new safetensors file `path`. Each tensor keeps its type, except that F64 becomes F32.
    #[cfg(feature = "native")]
    pub(super) fn write(&self, path: &std::path::Path) -> Result<()> {
        use super::write::{self, Planned};

        let mut all = Vec::new();
        for (shard, entry) in self.entries() {
            let shape: Vec<usize> = entry.shape().iter().map(|n| *n as usize).collect();
            let tensor = tensor(&shard.file, shard, entry, &shape)?;
            let planned = Planned {
                name: entry.name.to_string(),
                dtype: if tensor.dtype.size() > 4 { DType::F32 } else { tensor.dtype },
                shape: entry.shape().to_vec(),
            };
            all.push((planned, tensor));
        }
        all.sort_by(|(a, _), (b, _)| write::order(a, b));
        let planned: Vec<Planned> = all.iter().map(|(planned, _)| planned.clone()).collect();
        std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(|e| Error::io("create", path, e))?;
        write::safetensors(path, &planned, |index, sink| {
            let (planned, tensor) = &all[index];
            let written = match planned.dtype == tensor.dtype {
                true => sink.write_all(tensor.bytes),
                false => tensor.to_f32().iter().try_for_each(|x| sink.write_all(&x.to_le_bytes())),
            };
            written.map_err(|e| Error::io("write", path, e))
        })?;
        Ok(())
    }

    /// The approximate bytes that they take on a device.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries().map(|(shard, entry)| shard.bytes_of(entry).len() as u64).sum()
    }

    fn entries(&self) -> impl Iterator<Item = (&Shard, &Entry)> {
        self.0.iter().flat_map(|shard| shard.entries.iter().map(move |entry| (shard, entry)))
    }

    /// The tensors with these names and shapes. The file must have these and no others.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it does not.
    pub(crate) fn exactly<const N: usize>(&self, wanted: [(&str, &[usize]); N]) -> Result<[HostTensor<'_>; N]> {
        const HELP: &str = "Give the config.json and weights that were saved together";
        let file = self.0.first().map(|shard| shard.file.as_str()).unwrap_or_default();
        let fault = |name: &str, problem: String, help: &str| Err(broken(file, Some(name), problem, help));
        if let Some((_, other)) = self.entries().find(|(_, e)| !wanted.iter().any(|(name, _)| *name == &*e.name)) {
            return fault(&other.name, format!("the module has no tensor {}", clip(&other.name)), HELP);
        }
        let mut found = Vec::with_capacity(N);
        for (name, shape) in wanted {
            let Some((shard, entry)) = self.entries().find(|(_, e)| *e.name == *name) else {
                return fault(name, format!("{name} is missing"), HELP);
            };
            if !entry.shape().iter().map(|n| *n as usize).eq(shape.iter().copied()) {
                let problem = format!("{name} has shape {:?}, the configuration asks for {shape:?}", entry.shape());
                return fault(name, problem, HELP);
            }
            let tensor = tensor(file, shard, entry, shape)?;
            found.push(tensor);
        }
        Ok(found.try_into().expect("one tensor for each name"))
    }
}

/// A tensor of this shape, with its values checked.
fn tensor<'a>(file: &str, shard: &'a Shard, entry: &Entry, shape: &[usize]) -> Result<HostTensor<'a>> {
    let name = &entry.name;
    let fault = |problem: String, help: &str| Err(broken(file, Some(name), problem, help));
    let Some(dtype) = entry.dtype().filter(|dtype| *dtype != DType::I8) else {
        let problem = format!("{} is {}, which is not supported", clip(name), entry.dtype_name());
        return fault(problem, "Save the model as float32, float16 or bfloat16");
    };
    if shape.contains(&0) {
        return fault(format!("{} is empty", clip(name)), header::DAMAGED);
    }
    let (rows, cols) = if let [rows, cols] = *shape { (rows, cols) } else { (1, shape.iter().product()) };
    let tensor = HostTensor::new(dtype, rows, cols, shard.bytes_of(entry), &[]);
    match vet::first_fault(&tensor) {
        Some(found) => fault(format!("{} has {} at index {}", clip(name), found.value, found.index), header::DAMAGED),
        None => Ok(tensor),
    }
}
