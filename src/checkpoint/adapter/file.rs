//! Reads and writes `adapter_model.safetensors`.

use serde::Deserialize;

use super::config::Settings;
use super::{Adapter, BERT, OTHER, Tensor, kinds};
use crate::checkpoint::header::{self, Entry, broken};
use crate::checkpoint::{Head, names, vet, write};
use crate::error::{Result, clip, clip_message};
use crate::tensor::{DType, HostTensor};

/// The beginning of every tensor's name.
const PREFIX: &str = "base_model.model.";

/// The encoder's modules. In a model that is only an encoder, their names have no prefix.
const BARE: [&str; 3] = ["embeddings.", "encoder.", "pooler."];

/// The most tensors: two for every linear layer of the largest possible model, and a few more.
const MOST_TENSORS: usize = 1 << 14;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    base_model_sha256: Option<String>,
}

/// A tensor of the file and its bytes.
pub(super) type Stored<'a> = (&'a Entry, &'a [u8]);

/// Reads the adapter with these `settings` from the bytes of a safetensors file.
pub(super) fn read_bytes(settings: Settings, bytes: &[u8], file: &str) -> Result<Adapter> {
    let (entries, data) = header::parse(bytes, file)?;
    let (header, data) = (bytes.get(8..data).unwrap_or_default(), bytes.get(data..).unwrap_or_default());
    let stored: Vec<Stored<'_>> = entries.iter().map(|entry| (entry, entry.slice(data))).collect();
    read(settings, &stored, header, file)
}

/// Reads the adapter with these `settings` from tensors; `header` is the header of a safetensors file.
pub(super) fn read(settings: Settings, stored: &[Stored<'_>], header: &[u8], file: &str) -> Result<Adapter> {
    let fault = |name: &str, problem: String, help: &str| Err(broken(file, Some(name), problem, help));
    // A PyTorch file has no header.
    let text: Header = match header.is_empty() {
        true => Header::default(),
        false => serde_json::from_slice(header).map_err(|e| broken(file, None, clip_message(&e), header::DAMAGED))?,
    };
    let sha256 = text.metadata.base_model_sha256;
    if let Some(sum) = sha256.as_ref().filter(|sum| sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(broken(file, None, format!("{:?} is no SHA-256", clip(sum)), header::DAMAGED));
    }
    if stored.len() > MOST_TENSORS {
        let problem = format!("{} tensors are more than any BERT's adapter has", stored.len());
        return Err(broken(file, None, problem, OTHER));
    }
    let mut is_bare = false;
    let mut tensors: Vec<Tensor> = Vec::with_capacity(stored.len());
    for (entry, bytes) in stored {
        let name = clip(&entry.name);
        let Some(own) = entry.name.strip_prefix(PREFIX) else {
            return fault(&entry.name, format!("the name {name} does not begin with {PREFIX}"), OTHER);
        };
        // With biases, peft also saves the modules that it has replaced.
        if own.contains(".original_module.") {
            continue;
        }
        let own = [".base_layer.", ".modules_to_save.default.", ".modules_to_save."]
            .iter()
            .fold(own.to_owned(), |own, wrapper| own.replace(wrapper, "."));
        let dtype = match entry.dtype() {
            Some(dtype @ (DType::F32 | DType::F64 | DType::F16 | DType::BF16)) => dtype,
            _ => {
                let problem = format!("{name} is {}, which is not supported", entry.dtype_name());
                return fault(&entry.name, problem, "Save the adapter as float32, float16 or bfloat16");
            }
        };
        let shape: Vec<usize> = entry.shape().iter().map(|d| *d as usize).collect();
        // The number of bytes was already checked against the shape.
        let host = HostTensor::new(dtype, 1, shape.iter().product(), bytes, &[]);
        if let Some(bad) = vet::first_fault(&host) {
            let problem = format!("{name} has {} at index {}", bad.value, bad.index);
            return fault(&entry.name, problem, "The adapter is damaged or its training diverged: give another");
        }
        let is_of_encoder = BARE.iter().any(|module| own.starts_with(module));
        is_bare |= is_of_encoder;
        let name = names::modern(&if is_of_encoder { format!("{BERT}{own}") } else { own });
        tensors.push(Tensor { name, shape, values: host.to_f32() });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    // A module that is saved whole, with all biases, has its bias twice.
    tensors.dedup_by(|a, b| a == b);
    if let Some((twice, _)) = tensors.iter().zip(tensors.iter().skip(1)).find(|(a, b)| a.name == b.name) {
        return fault(&twice.name, format!("{} is there in two spellings", clip(&twice.name)), OTHER);
    }
    kinds::plain(settings, sha256, is_bare, tensors, file)
}

/// The bytes of the file. Equal adapters give equal bytes.
pub(super) fn write(adapter: &Adapter) -> Vec<u8> {
    let is_bare = adapter.head.is_some_and(|head| head.architecture() == Head::Encoder.architecture());
    let mut tensors: Vec<_> = adapter
        .tensors
        .iter()
        .map(|tensor| {
            let name = if is_bare { tensor.name.strip_prefix(BERT).unwrap_or(&tensor.name) } else { &tensor.name };
            let shape = tensor.shape.iter().map(|d| *d as u32).collect();
            (write::Planned { name: format!("{PREFIX}{name}"), dtype: DType::F32, shape }, &tensor.values)
        })
        .collect();
    tensors.sort_by(|(a, _), (b, _)| write::order(a, b));
    let plan: Vec<_> = tensors.iter().map(|(planned, _)| planned.clone()).collect();
    let sum = adapter.base.sha256.as_deref().map(|sum| ("base_model_sha256", sum));
    let mut bytes = write::header_with(&plan, sum.as_slice());
    for (_, values) in tensors {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}
