//! Converts a checkpoint to another type, row by row, so the memory does not grow with the model.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use half::f16;

use super::companions::{self, copy_documents, copy_into, layout};
use super::header::{Entry, broken};
use super::quantize::{quantize_row, row_scale};
use super::source::{Shard, read_small};
use super::staging::Staging;
use super::write::{self, Planned};
use super::{Checkpoint, Head, SCALE, TOKENIZERS, adapter, names};
use crate::config::I8_ROWS;
use crate::error::{Error, OptionName, Result, clip, clip_message, help};
use crate::inputs::Inputs;
use crate::tensor::{DType, HostTensor};

/// The result of [`convert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The number of tensors in the new file, with the scales.
    pub tensors: usize,
    /// The size of the new `model.safetensors`.
    pub bytes: u64,
    /// Whether an adapter was merged into its base.
    pub is_merged: bool,
}

/// Writes the BERT checkpoint in the directory `src` to the directory `out`, with its weights as `dtype`: F32, F16 or
/// I8.
///
/// I8 is the [format of this module](super#the-i8-format): the encoder's matrices and the word embeddings in 8 bits,
/// everything else in F32. The configuration records it. Tokenizer and model card are copied. Old names of LayerNorm
/// become modern ones. A tensor that is not part of the model stays as it is. If `src` is an adapter, base and adapter
/// are merged into one model; a base in i8 is widened first.
///
/// The new files are read again before anything else changes. Then `out` appears as a whole. If it exists already, it
/// is exchanged with a directory that has its other files and the new ones. This is one step if the system supports it;
/// otherwise `config.json` is missing until everything is in place. After a failure, nothing has changed.
///
/// # Errors
/// Those of [`Checkpoint::open`]; `Error::Option` for another type, or if `out` is read, is inside what is read, or is
/// being written by another process; `Error::Checkpoint` for a value that is not finite or out of range; `Error::Io`.
pub fn convert(src: &Path, out: &Path, dtype: DType) -> Result<Converted> {
    if matches!(dtype, DType::BF16 | DType::F64) {
        return Err(Error::Option {
            name: "dtype",
            problem: format!("{} is read but not written", dtype.name()),
            help: "Give f32, f16 or i8".into(),
        });
    }
    let mut inputs = Inputs::default();
    inputs.add_model(src);
    inputs.check("output", out)?;
    let is_merged = is_adapter(src);
    // Older versions of sentence-transformers put the model into a directory of its own, beside those of the modules.
    let inner = layout(src)?.and_then(|layout| layout.encoder()).unwrap_or_default();
    let model = src.join(&inner);
    let checkpoint = open(&model)?;
    let staging = begin_beside(&Checkpoint::place_of(&TOKENIZERS, src)?, out)?;
    let at = |name: &str| if inner.is_empty() { name.to_owned() } else { format!("{inner}/{name}") };
    staging.write(&at("config.json"), &new_config(&model, &checkpoint, dtype)?)?;
    let converted = write_weights(&checkpoint, &staging.path(&at("model.safetensors")), (dtype, is_merged))?;
    let converted = Converted { is_merged, ..converted };
    if !inner.is_empty() {
        copy_into(&inner, &model, &staging)?;
    }
    copy_documents(src, &staging)?;
    read_back(&staging.path(&inner), checkpoint.head())?;
    staging.commit()?;
    Ok(converted)
}

/// Checks that the new files are a model with this head, and that every value is finite.
///
/// # Errors
/// [`Error::Checkpoint`] if they are not.
pub(crate) fn read_back(dir: &Path, head: Head) -> Result<()> {
    let read = || {
        let checkpoint = Checkpoint::open(dir)?;
        checkpoint.require(head)?;
        names::params(checkpoint.config(), head).try_for_each(|param| checkpoint.get(&param.name).map(drop))
    };
    read().map_err(|error| {
        let problem = format!("what was written could not be read again: {error}");
        broken("the new model", None, problem, "Nothing was replaced; if the disk is sound, report this")
    })
}

/// Begins the directory `out` of a model that comes from `src`, with all files that are read beside the weights.
///
/// # Errors
/// [`Error::Option`] if `out` has such a file that `src` lacks, because it would be read with the new model.
pub(crate) fn begin_beside(src: &Path, out: &Path) -> Result<Staging> {
    // A program that looks for these files first would take the directory for an adapter's.
    companions::begin(src, out, &adapter::FILES)
}

#[cfg(feature = "train")]
fn is_adapter(dir: &Path) -> bool {
    super::adapter::directory::is_adapter(dir)
}

#[cfg(not(feature = "train"))]
fn is_adapter(_: &Path) -> bool {
    false
}

/// Opens the model in the directory `src`. An adapter is merged into all that it changes.
fn open(src: &Path) -> Result<Checkpoint> {
    #[cfg(feature = "train")]
    if is_adapter(src) {
        return super::adapter::directory::open(src, super::adapter::Eight::Widens);
    }
    Checkpoint::open(src)
}

/// The text of `config.json` with the new type. All other keys are kept.
fn new_config(src: &Path, checkpoint: &Checkpoint, dtype: DType) -> Result<Vec<u8>> {
    let dir = Checkpoint::place_of(&["config.json"], src)?;
    let path = dir.join("config.json");
    let bytes = read_small(&path, 16 << 20)?;
    let malformed = |problem: String| Error::Config {
        file: path.display().to_string(),
        problem,
        help: "Give the config.json that was saved with the model".into(),
    };
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&bytes).map_err(|e| malformed(clip_message(&e)))?;
    let torch = if dtype == DType::F16 { "float16" } else { "float32" };
    // transformers 5 calls it "dtype".
    let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    config.insert(key.into(), torch.into());
    config.remove("quantization");
    if let Some(architectures) = checkpoint.config.architectures.as_ref().filter(|_| dir != src) {
        // The head of the adapter, which the base lacks.
        config.insert("architectures".into(), architectures.as_slice().into());
    }
    if !checkpoint.config.tie_word_embeddings {
        // The file may not say this, because an adapter can contain a decoder of its own.
        config.insert("tie_word_embeddings".into(), false.into());
    }
    if dtype == DType::I8 {
        config.insert("quantization".into(), serde_json::json!({ "format": I8_ROWS }));
    }
    let mut text = serde_json::to_vec_pretty(&config).map_err(|e| malformed(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// A tensor of the new file and its source.
struct Job<'a> {
    planned: Planned,
    shard: &'a Shard,
    entry: &'a Entry,
    source: HostTensor<'a>,
    part: Part,
}

#[derive(Clone, Copy)]
enum Part {
    Values,
    Scales,
}

/// The type of the new tensors, and whether a merge gave some of them the names of a whole model.
type Form = (DType, bool);

fn write_weights(checkpoint: &Checkpoint, path: &Path, form: Form) -> Result<Converted> {
    let mut plan = Plan { checkpoint, form, jobs: Vec::new(), names: HashMap::new() };
    for shard in &checkpoint.shards {
        for entry in &shard.entries {
            plan.add(shard, entry)?;
        }
    }
    let mut jobs = plan.jobs;
    jobs.sort_by(|a, b| write::order(&a.planned, &b.planned));
    let planned: Vec<Planned> = jobs.iter().map(|job| job.planned.clone()).collect();
    let bytes = write::safetensors(path, &planned, |index, sink| jobs[index].write(sink, path))?;
    Ok(Converted { tensors: planned.len(), bytes, is_merged: false })
}

/// The tensors of the new file.
struct Plan<'a> {
    checkpoint: &'a Checkpoint,
    form: Form,
    jobs: Vec<Job<'a>>,
    /// The source of the tensor with each name.
    names: HashMap<String, (&'a Shard, &'a Entry)>,
}

impl<'a> Plan<'a> {
    /// Plans the output of one tensor: one tensor, two with its scales, or none.
    fn add(&mut self, shard: &'a Shard, entry: &'a Entry) -> Result<()> {
        let checkpoint = self.checkpoint;
        let left_out = |why: &str| tracing::warn!("{} {why} and is left out", clip(&entry.name));
        if let Some((_, of)) = entry.name.strip_suffix(SCALE).and_then(|of| checkpoint.find(of)) {
            if of.dtype() != Some(DType::I8) {
                left_out("scales a tensor that has no scale");
            }
            return Ok(());
        }
        let known = names::param(&checkpoint.config, &entry.name);
        let Some(own) = entry.dtype().filter(|own| known.is_some() || *own != DType::I8) else {
            // For example `position_ids`, a buffer in old files.
            left_out(&format!("is {}", entry.dtype_name()));
            return Ok(());
        };
        let source = checkpoint.tensor(shard, entry)?;
        let Some(known) = known else {
            let planned = Planned { name: entry.name.to_string(), dtype: own, shape: entry.shape().to_vec() };
            return self.push(planned, (shard, entry), source, Part::Values);
        };
        checkpoint.vet(shard, entry, &source)?;
        let (dtype, is_merged) = self.form;
        let dtype = match dtype {
            DType::I8 if !known.in_i8 => DType::F32,
            other => other,
        };
        // Either all names of the encoder in a file begin with `bert.`, or none. Other spellings stay, such as that of
        // a decoder's bias.
        let modern = names::modern(&entry.name);
        let name = if is_merged && known.name.ends_with(&modern) { known.name } else { modern };
        if dtype == DType::I8 {
            let name = format!("{name}{SCALE}");
            let planned = Planned { name, dtype: DType::F32, shape: vec![source.rows as u32] };
            self.push(planned, (shard, entry), source, Part::Scales)?;
        }
        let planned = Planned { name, dtype, shape: entry.shape().to_vec() };
        self.push(planned, (shard, entry), source, Part::Values)
    }

    /// Plans a tensor, unless the same one is already there under another spelling of its name.
    fn push(
        &mut self,
        planned: Planned,
        (shard, entry): (&'a Shard, &'a Entry),
        source: HostTensor<'a>,
        part: Part,
    ) -> Result<()> {
        if let Some((other_shard, other)) = self.names.get(&planned.name) {
            let kind = |entry: &Entry| (entry.dtype_name(), entry.shape().to_vec());
            if kind(entry) != kind(other) || shard.bytes_of(entry) != other_shard.bytes_of(other) {
                let problem =
                    format!("both {} and {} are there, and they differ", clip(&entry.name), clip(&other.name));
                return Err(broken(&shard.file, Some(&entry.name), problem, "Keep one of them"));
            }
            return Ok(());
        }
        self.names.insert(planned.name.clone(), (shard, entry));
        self.jobs.push(Job { planned, shard, entry, source, part });
        Ok(())
    }
}

impl Job<'_> {
    fn write(&self, sink: &mut dyn Write, path: &Path) -> Result<()> {
        let io = |e| Error::io("write", path, e);
        let source = &self.source;
        match self.part {
            Part::Scales if source.dtype == DType::I8 => return sink.write_all(source.scales).map_err(io),
            Part::Values if source.dtype == self.planned.dtype => return sink.write_all(source.bytes).map_err(io),
            _ => {}
        }
        let mut row = vec![0.0; source.cols];
        let mut bytes = Vec::with_capacity(source.cols * 4);
        for r in 0..source.rows {
            source.row_f32(r, &mut row);
            bytes.clear();
            match (self.part, self.planned.dtype) {
                (Part::Scales, _) => bytes.extend(row_scale(&row).to_le_bytes()),
                (Part::Values, DType::I8) => {
                    bytes.resize(row.len(), 0);
                    quantize_row(&row, row_scale(&row), &mut bytes);
                }
                (Part::Values, DType::F16) => {
                    let halves = row.iter().map(|w| f16::from_f32(*w));
                    if let Some(col) = halves.clone().position(|h| !h.is_finite()) {
                        return Err(self.too_large(r * source.cols + col, row[col]));
                    }
                    bytes.extend(halves.flat_map(f16::to_le_bytes));
                }
                (Part::Values, _) => bytes.extend(row.iter().flat_map(|w| w.to_le_bytes())),
            }
            sink.write_all(&bytes).map_err(io)?;
        }
        Ok(())
    }

    fn too_large(&self, index: usize, value: f32) -> Error {
        let name = &clip(&self.entry.name);
        let problem = format!("{name} has {value} at index {index}, more than f16 can hold ({})", f16::MAX);
        broken(&self.shard.file, Some(name), problem, help!("Set ", OptionName("dtype"), " to f32 or i8"))
    }
}
