//! Converts adapters of other kinds to plain ones.
//!
//! If a layer has its own scale, the difference from the usual scale goes into its B. An adapter of an embedding table,
//! `(B A)ᵀ`, becomes one of the table's rows: A and B change places, and each is transposed. Two things remain that a
//! plain adapter cannot express: DoRA's magnitudes, and a bias that is added to the base's.

use super::config::Settings;
use super::{A, Adapter, B, BERT, OTHER, Tensor};
use crate::checkpoint::Head;
use crate::checkpoint::header::broken;
use crate::error::{Result, clip};

/// The end of the name of DoRA's row lengths, `[out]`, after that of the layer.
const MAGNITUDE: &str = ".lora_magnitude_vector";
/// The ends of the names of a table's adapter: `[r, rows]` and `[columns, r]`.
const OF_TABLE: [&str; 2] = [".lora_embedding_A", ".lora_embedding_B"];
/// The end of the name of B's bias, `[out]`.
const BIAS_OF_B: &str = ".lora_B.bias";

/// The parts of an adapter besides A, B and whole tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// The lengths that DoRA gives the rows of an adapted layer's sum, `[out]`, by the layer's name.
    pub magnitudes: Vec<Tensor>,
    /// Values that are added to vectors of the base, by their names.
    pub added: Vec<Tensor>,
    /// Whether some layers have their own ranks or scales.
    pub is_folded: bool,
}

impl Beside {
    /// Whether it is a plain adapter.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// The adapter of these tensors.
pub(super) fn plain(
    settings: Settings,
    sha256: Option<String>,
    is_bare: bool,
    mut tensors: Vec<Tensor>,
    file: &str,
) -> Result<Adapter> {
    let fault = |name: &str, problem: String| Err(broken(file, Some(name), problem, OTHER));
    let Settings { mut lora, is_listed, mut head, mut base, ranks, alphas, is_rank_stabilized, has_magnitudes } =
        settings;
    base.sha256 = sha256;
    if is_bare && head.is_none() {
        head = Some(Head::Encoder);
    }
    let mut beside = Beside::default();
    let mut biases = Vec::new();
    let mut kept = Vec::with_capacity(tensors.len());
    for mut tensor in tensors.drain(..) {
        let name = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name).to_owned();
        if let Some(module) = name.strip_suffix(MAGNITUDE).filter(|_| has_magnitudes) {
            beside.magnitudes.push(Tensor { name: module.into(), ..tensor });
        } else if let Some(module) = tensor.name.strip_suffix(BIAS_OF_B) {
            biases.push(Tensor { name: module.into(), ..tensor });
        } else {
            for (from, to) in OF_TABLE.into_iter().zip([B, A]) {
                if let Some(module) = tensor.name.strip_suffix(from) {
                    tensor = transposed(format!("{module}{to}"), &tensor);
                }
            }
            if tensor.name.contains(".lora_") && !tensor.name.ends_with(A) && !tensor.name.ends_with(B) {
                return fault(&tensor.name, format!("{} is of another kind than LoRA or DoRA", clip(&tensor.name)));
            }
            kept.push(tensor);
        }
    }
    let mut adapted = kept.iter().filter_map(|tensor| tensor.name.strip_suffix(A)).peekable();
    if adapted.peek().is_none() {
        return Err(broken(file, None, "it adapts no layer".into(), OTHER));
    }
    if !is_listed {
        lora.targets = adapted.map(str::to_owned).collect();
    } else if let Some(other) = adapted.find(|module| !lora.applies_to(module)) {
        return fault(other, format!("{} is adapted, but target_modules does not name it", clip(other)));
    }

    // The rank and the scale of each layer, with the layer's name in training.
    let (usual_rank, usual_scale) = (lora.r, lora.scale());
    let usual_alpha = if is_rank_stabilized { lora.alpha / (lora.r as f32).sqrt() } else { lora.alpha };
    let of = |module: &str| -> (usize, f32) {
        let own = if is_bare { module.strip_prefix(BERT).unwrap_or(module) } else { module };
        // An impossible rank becomes 0, which no tensor has.
        let rank = ranks.get(own).map_or(usual_rank, |rank| if rank >= 1.0 { rank as usize } else { usize::MAX });
        let alpha = alphas.get(own).map(|alpha| alpha as f32);
        if alpha.is_none() && rank == usual_rank {
            return (rank, usual_scale);
        }
        let by = if is_rank_stabilized { (rank as f32).sqrt() } else { rank as f32 };
        (rank, alpha.unwrap_or(usual_alpha) / by)
    };
    let modules = kept.iter().filter_map(|tensor| tensor.name.strip_suffix(A));
    let own: Vec<(String, usize, f32)> = modules
        .map(|module| {
            let (rank, scale) = of(module);
            (module.to_owned(), rank, scale)
        })
        .collect();
    for bias in &mut biases {
        let (_, scale) = of(&bias.name);
        bias.values.iter_mut().for_each(|value| *value *= scale);
        bias.name += ".bias";
    }
    beside.added = biases;
    beside.is_folded = own.iter().any(|(_, rank, scale)| (*rank, *scale) != (usual_rank, usual_scale));
    if beside.is_folded {
        for tensor in &kept {
            check_rank(tensor, &own, file)?;
        }
        for tensor in kept.iter_mut().filter(|tensor| tensor.name.ends_with(B)) {
            let scale = layer_of(tensor, &own).map_or(usual_scale, |(_, _, scale)| *scale);
            tensor.values.iter_mut().for_each(|value| *value *= scale / usual_scale);
        }
    }
    let adapter = Adapter { lora, base, head, tensors: kept, beside };
    adapter.check_pairs(file)?;
    if has_magnitudes {
        for (module, a, b) in adapter.pairs() {
            let magnitude = adapter.beside.magnitudes.iter().find(|tensor| tensor.name == module);
            if module.contains("embeddings.") || magnitude.map(|m| m.shape.as_slice()) != b.shape.get(..1) {
                let problem = format!("{} has no {MAGNITUDE} for its rows", clip(module));
                return fault(&a.name, problem);
            }
        }
    }
    Ok(adapter)
}

/// The layer of A or B, with its rank and scale.
fn layer_of<'a>(tensor: &Tensor, own: &'a [(String, usize, f32)]) -> Option<&'a (String, usize, f32)> {
    let module = tensor.name.strip_suffix(A).or_else(|| tensor.name.strip_suffix(B))?;
    own.iter().find(|(name, ..)| name == module)
}

/// Checks that A and B have the rank of their layer in the configuration.
fn check_rank(tensor: &Tensor, own: &[(String, usize, f32)], file: &str) -> Result<()> {
    let Some((_, rank, _)) = layer_of(tensor, own) else { return Ok(()) };
    let at = usize::from(tensor.name.ends_with(B));
    if tensor.shape.len() == 2 && tensor.shape.get(at) == Some(rank) {
        return Ok(());
    }
    let (name, shape) = (clip(&tensor.name), &tensor.shape);
    let problem = format!("{name} has shape {shape:?}, not that of a rank of {rank} as rank_pattern says");
    Err(broken(file, Some(&tensor.name), problem, OTHER))
}

fn transposed(name: String, tensor: &Tensor) -> Tensor {
    let [rows, cols] = tensor.shape[..] else { return Tensor { name, ..tensor.clone() } };
    let values = (0..cols).flat_map(|col| (0..rows).map(move |row| tensor.values[row * cols + col])).collect();
    Tensor { name, shape: vec![cols, rows], values }
}
