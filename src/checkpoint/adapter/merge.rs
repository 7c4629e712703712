//! Combines a base and an adapter into one checkpoint.
//!
//! A floating-point matrix is merged with its adapter, `W + scale B A`, in f32; with DoRA, each row then gets its
//! length. A matrix in 8 bits stays as it is, and the layer multiplies by A and B beside it, because rounding the sum
//! again would lose what the adapter learnt. With DoRA, or if it is a table, it is widened and merged.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{A, Adapter, B, FILES, Tensor};
use crate::checkpoint::header::broken;
use crate::checkpoint::source::Shard;
use crate::checkpoint::write::{self, Planned};
use crate::checkpoint::{Checkpoint, Head, SCALE, names};
use crate::config::Config;
use crate::error::{Error, Result, clip};
use crate::tensor::{DType, HostTensor};

/// The treatment of adapted matrices in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eight {
    /// They stay in 8 bits, with A and B beside them.
    Stays,
    /// They are widened, and merged like others.
    #[cfg_attr(not(feature = "native"), allow(dead_code, reason = "models are converted where there are files"))]
    Widens,
}

/// The source of a new tensor's values.
enum Source<'a> {
    Whole(&'a Tensor),
    Scaled(&'a Tensor, f32),
    Merged {
        base: Values<'a>,
        a: &'a Tensor,
        b: &'a Tensor,
        scale: f32,
        magnitude: Option<&'a Tensor>,
    },
    /// A vector, and the values to add to it.
    Added(HostTensor<'a>, &'a Tensor),
    Copied(HostTensor<'a>),
}

/// The values to which an adapter's product is added.
enum Values<'a> {
    Base(HostTensor<'a>),
    /// A tensor of the adapter itself, because an adapter can contain a table and also adapt it.
    Own(&'a Tensor),
}

impl Checkpoint {
    /// This base with an adapter, and with the configuration of the adapted model. Matrices in 8 bits stay in 8 bits.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the adapter belongs to another base or does not fit this configuration; those of
    /// [`Checkpoint::open`].
    pub fn adapt(self, adapter: &Adapter, config: Config) -> Result<Self> {
        self.adapt_as(adapter, config, FILES[1], Eight::Stays)
    }

    /// Checks that this is the base of the adapter. `file` is the adapter's name in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is not.
    pub(crate) fn is_base_of(&self, adapter: &Adapter, file: &str) -> Result<()> {
        match &adapter.base.sha256 {
            Some(sum) if !sum.eq_ignore_ascii_case(&self.sha256()) => {
                let problem = format!("it was trained on another base than {}, one whose SHA-256 is {sum}", self.name);
                let help = "Give that base by base_model_name_or_path in adapter_config.json, or train on this one";
                Err(broken(file, None, problem, help))
            }
            _ => Ok(()),
        }
    }

    /// The same; `file` is the adapter's name in errors.
    pub(crate) fn adapt_as(mut self, adapter: &Adapter, config: Config, file: &str, eight: Eight) -> Result<Self> {
        self.is_base_of(adapter, file)?;
        adapter.check(&config, file)?;
        self.config = config;
        let is_tied = self.config.tie_word_embeddings;
        let (mut merged, mut beside, mut replaced) = (Vec::new(), Vec::new(), BTreeSet::new());
        let words = |name: &str| {
            name == WORDS || name.strip_suffix(A).is_some_and(|module| WORDS.strip_suffix(".weight") == Some(module))
        };
        let changes_words = adapter.tensors.iter().any(|tensor| words(&tensor.name));
        let has_words =
            self.has("cls.predictions.bias") || adapter.tensors.iter().any(|t| t.name.starts_with("cls.predictions."));
        let decoder = adapter.tensors.iter().find(|tensor| tensor.name == names::OWN_DECODER);
        let is_same = |tensor: &Tensor| Ok::<_, Error>(!changes_words && tensor.values == self.get(WORDS)?.to_f32());
        // A decoder that still equals the table of words stays tied to it.
        let stays_tied = match decoder {
            Some(tensor) => is_same(tensor)?,
            None => !(changes_words && has_words),
        };
        self.config.tie_word_embeddings = is_tied && stays_tied;
        if is_tied && decoder.is_none() && !stays_tied {
            // As in peft, it keeps the table of the base.
            let words = self.get(WORDS)?;
            replaced.extend(spellings(names::OWN_DECODER));
            merged.push((planned(names::OWN_DECODER, &[words.rows, words.cols]), Source::Copied(words)));
        }
        for tensor in adapter.whole() {
            if is_tied && stays_tied && tensor.name == names::OWN_DECODER {
                continue;
            }
            if adapter.pairs().any(|(module, ..)| tensor.name.strip_suffix(".weight") == Some(module)) {
                // This table is adapted as well, so it is merged below.
                continue;
            }
            replaced.extend(spellings(&tensor.name));
            if let Some(added) = adapter.beside.added.iter().find(|added| added.name == tensor.name) {
                let problem = format!("{} is there whole, and added to the base's", clip(&added.name));
                return Err(broken(file, Some(&added.name), problem, super::OTHER));
            }
            merged.push((planned(&tensor.name, &tensor.shape), Source::Whole(tensor)));
        }
        for tensor in &adapter.beside.added {
            replaced.extend(spellings(&tensor.name));
            merged.push((planned(&tensor.name, &tensor.shape), Source::Added(self.get(&tensor.name)?, tensor)));
        }
        for (module, a, b) in adapter.pairs() {
            let name = format!("{module}.weight");
            let base = self.get(&name)?;
            let scale = adapter.lora.scale();
            let magnitude = adapter.beside.magnitudes.iter().find(|tensor| tensor.name == module);
            let stays = base.dtype == DType::I8 && eight == Eight::Stays;
            // Only a linear layer can multiply by A and B beside it, and DoRA changes the lengths of rows.
            if stays && magnitude.is_none() && !module.contains("embeddings.") {
                beside.push((planned(&a.name, &a.shape), Source::Scaled(a, 1.0)));
                beside.push((planned(&b.name, &b.shape), Source::Scaled(b, scale)));
            } else {
                replaced.extend(spellings(&name));
                let plan = planned(&name, &[base.rows, base.cols]);
                let own = adapter.whole().find(|tensor| tensor.name == name);
                let base = own.map_or(Values::Base(base), Values::Own);
                merged.push((plan, Source::Merged { base, a, b, scale, magnitude }));
            }
        }
        let (merged, beside) = (shard(merged, file)?, shard(beside, file)?);
        for shard in &mut self.shards {
            shard.entries.retain(|entry| !replaced.contains(&*entry.name));
        }
        self.shards.push(merged);
        self.low_rank = (!beside.entries.is_empty()).then_some(beside);
        self.require(Head::Encoder)?;
        Ok(self)
    }

    /// A `[r, in]` and B `[out, r]`, already scaled, beside the 8-bit matrix of the linear layer `module`.
    pub(crate) fn low_rank(&self, module: &str) -> Option<[HostTensor<'_>; 2]> {
        let shard = self.low_rank.as_ref()?;
        let tensor = |kind: &str| {
            let entry = shard.find(&format!("{module}{kind}"))?;
            let [rows, cols] = entry.shape() else { return None };
            Some(HostTensor::new(DType::F32, *rows as usize, *cols as usize, shard.bytes_of(entry), &[]))
        };
        Some([tensor(A)?, tensor(B)?])
    }
}

/// Adds `scale B A` to rows of `cols` values. B has the same number of rows.
pub(crate) fn merge(rows: &mut [f32], cols: usize, [a, b]: [&[f32]; 2], scale: f32) {
    let rank = a.len() / cols.max(1);
    for (row, of_b) in rows.chunks_exact_mut(cols.max(1)).zip(b.chunks_exact(rank.max(1))) {
        for (of_b, of_a) in of_b.iter().zip(a.chunks_exact(cols.max(1))) {
            let factor = of_b * scale;
            row.iter_mut().zip(of_a).for_each(|(w, a)| *w += factor * a);
        }
    }
}

const WORDS: &str = "bert.embeddings.word_embeddings.weight";

/// All names that the base may use for a tensor and for its scales.
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let canonical = if name == "cls.predictions.decoder.bias" { "cls.predictions.bias" } else { name };
    names::spellings(canonical).into_iter().flat_map(|name| [format!("{name}{SCALE}"), name])
}

fn planned(name: &str, shape: &[usize]) -> Planned {
    Planned { name: name.into(), dtype: DType::F32, shape: shape.iter().map(|d| *d as u32).collect() }
}

/// Writes the tensors into a file in memory.
fn shard(mut tensors: Vec<(Planned, Source<'_>)>, file: &str) -> Result<Shard> {
    tensors.sort_by(|(a, _), (b, _)| write::order(a, b));
    let plan: Vec<Planned> = tensors.iter().map(|(planned, _)| planned.clone()).collect();
    let mut bytes = write::header(&plan);
    let need = plan.iter().map(Planned::size).sum::<u64>();
    bytes.try_reserve_exact(need as usize).map_err(|_| Error::Memory {
        what: "a base merged with its adapter".into(),
        need,
        have: 0,
        help: "Convert the base to i8: it then stays apart from its adapter".into(),
    })?;
    for (_, source) in tensors {
        source.append(&mut bytes);
    }
    Shard::held(Cow::Owned(bytes), file)
}

impl Source<'_> {
    fn append(self, bytes: &mut Vec<u8>) {
        match self {
            Source::Whole(tensor) => bytes.extend(tensor.values.iter().flat_map(|v| v.to_le_bytes())),
            Source::Scaled(tensor, scale) => {
                bytes.extend(tensor.values.iter().flat_map(|v| (v * scale).to_le_bytes()));
            }
            Source::Added(base, tensor) => {
                bytes.extend(base.to_f32().iter().zip(&tensor.values).flat_map(|(a, b)| (a + b).to_le_bytes()));
            }
            Source::Copied(tensor) => {
                let mut row = vec![0.0; tensor.cols];
                for r in 0..tensor.rows {
                    tensor.row_f32(r, &mut row);
                    bytes.extend(row.iter().flat_map(|w| w.to_le_bytes()));
                }
            }
            Source::Merged { base, a, b, scale, magnitude } => {
                let [outputs, rank] = b.shape[..] else { return };
                let cols = a.values.len() / rank.max(1);
                let mut row = vec![0.0; cols];
                for (r, of_b) in b.values.chunks_exact(rank.max(1)).enumerate().take(outputs) {
                    match base {
                        Values::Base(base) => base.row_f32(r, &mut row),
                        Values::Own(tensor) => row.copy_from_slice(&tensor.values[r * cols..(r + 1) * cols]),
                    }
                    merge(&mut row, cols, [&a.values, of_b], scale);
                    if let Some(magnitude) = magnitude {
                        let length = row.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>().sqrt() as f32;
                        let factor = magnitude.values.get(r).copied().unwrap_or_default() / length;
                        row.iter_mut().for_each(|w| *w *= factor);
                    }
                    bytes.extend(row.iter().flat_map(|w| w.to_le_bytes()));
                }
            }
        }
    }
}
