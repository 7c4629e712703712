//! A checkpoint in another type: row by row, in memory that does not grow with the model.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;

use half::f16;

use super::header::{Entry, broken};
use super::module::ModuleWeights;
use super::quantize::{quantize_row, row_scale};
use super::source::{Shard, read_small};
use super::staging::Staging;
use super::write::{self, Planned};
use super::{Checkpoint, Head, SCALE, TOKENIZERS, adapter, names};
use crate::config::I8_ROWS;
use crate::error::{Error, OptionName, Result, clip, clip_message, help};
use crate::inputs::Inputs;
use crate::sentence::{self, Layout};
use crate::tensor::{DType, HostTensor};

/// What is read beside the weights, copied as it is where it is there.
const COMPANIONS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// What is for people, copied too.
const DOCUMENTS: [&str; 4] = ["README.md", "LICENSE", "LICENSE.txt", "NOTICE"];

/// No companion is larger: a multilingual tokenizer.json is about 20 MB.
const MAX_COMPANION: u64 = 256 << 20;

/// What [`convert`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Tensors in the new file, scales included.
    pub tensors: usize,
    /// The size of the new `model.safetensors`.
    pub bytes: u64,
    /// Whether an adapter was merged into its base.
    pub is_merged: bool,
}

/// Writes the BERT checkpoint in the directory `src` to the directory `out` with its weights as `dtype`: F32, F16 or I8.
///
/// I8 is the [format of this module](super#the-i8-format): the encoder's matrices and the word embeddings in 8 bits, all else
/// F32. The configuration says so, tokenizer and card are copied, old LayerNorm names become today's. A tensor that is no part of
/// the model stays as it is. Of an adapter's directory it is base and adapter as one model; a base in i8 is widened for it.
///
/// What was written is read again before anything else changes. Then `out` appears as a whole; a directory that was there is
/// exchanged for one with its other files and the new ones, in one step where the system can do that, and else with
/// `config.json` away until all is there. On failure nothing has changed.
///
/// # Errors
/// What [`Checkpoint::open`] refuses; `Error::Option` for another type, or if `out` is read, lies in what is read, or is being
/// written by another process; `Error::Checkpoint` for a value that is not finite or does not fit; `Error::Io`.
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
    // Older versions of sentence-transformers gave the model a directory of its own among those of the modules.
    let inner = layout(src)?.and_then(|layout| layout.encoder()).unwrap_or_default();
    let model = src.join(&inner);
    let checkpoint = open(&model)?;
    let staging = begin_beside(&Checkpoint::place_of(&TOKENIZERS, src)?, out)?;
    let at = |name: &str| if inner.is_empty() { name.to_owned() } else { format!("{inner}/{name}") };
    staging.write(&at("config.json"), &new_config(&model, &checkpoint, dtype)?)?;
    let converted = write_weights(&checkpoint, &staging.path(&at("model.safetensors")), (dtype, is_merged))?;
    let converted = Converted { is_merged, ..converted };
    if !inner.is_empty() {
        for name in COMPANIONS.iter().filter(|name| model.join(name).is_file() && !staging.path(&at(name)).exists()) {
            staging.write(&at(name), &read_small(&model.join(name), MAX_COMPANION)?)?;
        }
    }
    copy_documents(src, &staging)?;
    read_back(&staging.path(&inner), checkpoint.head())?;
    staging.commit()?;
    Ok(converted)
}

/// Checks that what is to be written is a model with this head, whose every value is a number.
///
/// # Errors
/// [`Error::Checkpoint`]
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

/// Begins the directory `out` of a model that comes from `src`, with all that is read beside the weights.
///
/// # Errors
/// [`Error::Option`] if `out` has what `src` has not: it would be read with the new model.
pub(crate) fn begin_beside(src: &Path, out: &Path) -> Result<Staging> {
    // By these it would be an adapter's to those who look for them first.
    begin(src, out, &adapter::FILES)
}

/// The same where `others`, files of another kind of model, must not be there either.
pub(super) fn begin(src: &Path, out: &Path, others: &[&str]) -> Result<Staging> {
    let modules = layout(src)?.map(|layout| layout.files()).unwrap_or_default();
    let lists = COMPANIONS.iter().map(|name| vec![(*name).to_owned()]).chain(modules);
    let lists: BTreeSet<Vec<String>> = lists.collect();
    let here = |list: &Vec<String>| list.iter().find(|name| src.join(name).is_file()).cloned();
    let stale = lists.iter().filter(|list| here(list).is_none()).flatten().map(String::as_str);
    if let Some(stale) = stale.chain(others.iter().copied()).find(|name| out.join(name).exists()) {
        return Err(Error::Option {
            name: "output",
            problem: format!("{} has a {stale} of another model", out.display()),
            help: "Remove it, or give another directory".into(),
        });
    }
    let staging = Staging::begin(out)?;
    let present: BTreeSet<String> = lists.iter().filter_map(here).collect();
    for name in present {
        match name.strip_suffix("/pytorch_model.bin") {
            // As the model's own weights, a module's are safetensors from now on.
            Some(dir) => {
                let path = staging.path(&format!("{dir}/{}", ModuleWeights::FILE));
                ModuleWeights::open(&src.join(dir))?.write(&path)?;
            }
            None => copy([name.as_str()], src, &staging)?,
        }
    }
    Ok(staging)
}

fn layout(src: &Path) -> Result<Option<Layout>> {
    Layout::read(&mut |name| sentence::read_if_there(&src.join(name)))
}

#[cfg(feature = "train")]
fn is_adapter(dir: &Path) -> bool {
    super::adapter::directory::is_adapter(dir)
}

#[cfg(not(feature = "train"))]
fn is_adapter(_: &Path) -> bool {
    false
}

/// The model in the directory `src`, an adapter merged into all that it changes.
fn open(src: &Path) -> Result<Checkpoint> {
    #[cfg(feature = "train")]
    if is_adapter(src) {
        return super::adapter::directory::open(src, super::adapter::Eight::Widens);
    }
    Checkpoint::open(src)
}

/// Copies what is for people.
fn copy_documents(src: &Path, staging: &Staging) -> Result<()> {
    copy(DOCUMENTS, src, staging)
}

fn copy<'a>(names: impl IntoIterator<Item = &'a str>, src: &Path, staging: &Staging) -> Result<()> {
    for name in names {
        let path = src.join(name);
        if path.is_file() {
            staging.write(name, &read_small(&path, MAX_COMPANION)?)?;
        }
    }
    Ok(())
}

/// The text of `config.json` with the new type: every other key as it was.
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
        // The adapter's head, which its base has not.
        config.insert("architectures".into(), architectures.as_slice().into());
    }
    if !checkpoint.config.tie_word_embeddings {
        // The file may not say so: an adapter can bring a decoder of its own.
        config.insert("tie_word_embeddings".into(), false.into());
    }
    if dtype == DType::I8 {
        config.insert("quantization".into(), serde_json::json!({ "format": I8_ROWS }));
    }
    let mut text = serde_json::to_vec_pretty(&config).map_err(|e| malformed(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// A tensor of the new file and where it comes from.
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

/// What the new file's tensors are: their type, and whether what was merged gave some of them the names of a whole model.
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

/// The new file's tensors.
struct Plan<'a> {
    checkpoint: &'a Checkpoint,
    form: Form,
    jobs: Vec<Job<'a>>,
    /// Where each name's tensor comes from.
    names: HashMap<String, (&'a Shard, &'a Entry)>,
}

impl<'a> Plan<'a> {
    /// What becomes of one tensor: one, two with its scales, or none.
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
            // Such as `position_ids`, a buffer that old files carry.
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
        // A file has all names of the encoder with `bert.`, or none. Another name for the same, as a decoder's bias has, stays.
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

    /// Plans a tensor, unless the same one is there by another spelling of its name.
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
