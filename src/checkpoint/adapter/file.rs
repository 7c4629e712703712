//! `adapter_model.safetensors`.

use serde::Deserialize;

use super::config::Settings;
use super::{A, Adapter, B, OTHER, Tensor};
use crate::checkpoint::header::{self, broken};
use crate::checkpoint::{Head, names, vet, write};
use crate::error::{Result, clip, clip_message};
use crate::tensor::{DType, HostTensor};

/// What every tensor's name begins with.
const PREFIX: &str = "base_model.model.";

/// The encoder's modules, whose names have no prefix where it stands alone.
const BARE: [&str; 3] = ["embeddings.", "encoder.", "pooler."];

const BERT: &str = "bert.";

/// Two for every linear layer of a model of as many layers as a configuration may have, and some.
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

/// Reads what belongs to `settings`.
pub(super) fn read(settings: Settings, bytes: &[u8], file: &str) -> Result<Adapter> {
    let Settings { mut lora, is_listed, mut head, mut base } = settings;
    let (entries, data) = header::parse(bytes, file)?;
    let fault = |name: &str, problem: String, mend: &str| Err(broken(file, Some(name), problem, mend));
    // The eight bytes of its length are before it; the header was parsed, and so is there.
    let text: Header = serde_json::from_slice(bytes.get(8..data).unwrap_or_default())
        .map_err(|e| broken(file, None, clip_message(&e), header::DAMAGED))?;
    base.sha256 = text.metadata.base_model_sha256;
    if let Some(sum) = base.sha256.as_ref().filter(|sum| sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(broken(file, None, format!("{:?} is no SHA-256", clip(sum)), header::DAMAGED));
    }
    if entries.len() > MOST_TENSORS {
        let problem = format!("{} tensors are more than any BERT's adapter has", entries.len());
        return Err(broken(file, None, problem, OTHER));
    }
    let mut tensors = Vec::with_capacity(entries.len());
    for entry in &entries {
        let name = clip(&entry.name);
        let Some(own) = entry.name.strip_prefix(PREFIX) else {
            return fault(&entry.name, format!("the name {name} does not begin with {PREFIX}"), OTHER);
        };
        let dtype = match entry.dtype() {
            Some(dtype @ (DType::F32 | DType::F16 | DType::BF16)) => dtype,
            _ => {
                let problem = format!("{name} is {}, which is not supported", entry.dtype_name());
                return fault(&entry.name, problem, "Save the adapter as float32, float16 or bfloat16");
            }
        };
        if own.contains(".lora_") && !own.ends_with(A) && !own.ends_with(B) {
            return fault(&entry.name, format!("{name} is of another kind than plain LoRA"), OTHER);
        }
        let shape: Vec<usize> = entry.shape().iter().map(|d| *d as usize).collect();
        // `parse` found that the bytes are as many as the shape asks for.
        let host =
            HostTensor::new(dtype, 1, shape.iter().product(), entry.slice(bytes.get(data..).unwrap_or_default()), &[]);
        if let Some(bad) = vet::first_fault(&host) {
            let problem = format!("{name} has {} at index {}", bad.value, bad.index);
            return fault(&entry.name, problem, "The adapter is damaged or its training diverged: give another");
        }
        let is_bare = BARE.iter().any(|module| own.starts_with(module));
        if is_bare && head.is_none() {
            head = Some(Head::Encoder);
        }
        let name = names::modern(&if is_bare { format!("{BERT}{own}") } else { own.into() });
        tensors.push(Tensor { name, shape, values: host.to_f32() });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some((twice, _)) = tensors.iter().zip(tensors.iter().skip(1)).find(|(a, b)| a.name == b.name) {
        return fault(&twice.name, format!("{} is there in two spellings", clip(&twice.name)), OTHER);
    }
    let mut adapted = tensors.iter().filter_map(|tensor| tensor.name.strip_suffix(A)).peekable();
    if adapted.peek().is_none() {
        return Err(broken(file, None, "it adapts no layer".into(), OTHER));
    }
    if !is_listed {
        lora.targets = adapted.map(str::to_owned).collect();
    } else if let Some(other) = adapted.find(|module| !lora.applies_to(module)) {
        return fault(other, format!("{} is adapted, and is none of target_modules", clip(other)), OTHER);
    }
    let adapter = Adapter { lora, base, head, tensors };
    adapter.check_pairs(file)?;
    Ok(adapter)
}

/// The file's bytes: the same for the same adapter.
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
