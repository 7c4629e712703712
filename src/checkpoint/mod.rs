//! Checkpoints: the configuration and weights of a model, from a Hugging Face directory.
//!
//! Start at [`Checkpoint::open`]. It checks the files against the configuration. Then it returns [`HostTensor`]s that borrow the mapped files, so nothing is
//! copied. [`convert()`] writes a checkpoint in another data type. Every file is untrusted: each fault is a typed error that names the file, the tensor and
//! the remedy, and no size in a file decides how much memory is used until it is checked.
//!
//! # The i8 format
//! Beside a tensor of type I8 and shape `[rows, cols]` there is `NAME.scale`, F32 of shape `[rows]`, with positive values only:
//! `value = q * scale[row]`, with q in -127..=127. `config.json` contains `"quantization": {"format": "i8-rows"}`.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use crate::config::Config;
use crate::error::{Error, Help, Remedy, Result, clip, help};
use crate::tensor::{DType, HostTensor};

#[cfg(feature = "train")]
pub mod adapter;
#[cfg(feature = "native")]
mod companions;
#[cfg(feature = "native")]
mod convert;
mod header;
pub mod module;
pub mod names;
#[cfg(feature = "native")]
mod quantize;
pub(crate) mod source;
#[cfg(feature = "native")]
pub(crate) mod staging;
#[cfg(feature = "native")]
mod torch;
mod vet;
#[cfg(any(feature = "native", feature = "train"))]
#[cfg_attr(
    not(feature = "native"),
    allow(dead_code, reason = "without a disk, files are bytes: their headers are all it takes")
)]
pub(crate) mod write;

#[cfg(feature = "native")]
pub use convert::{Converted, convert};
#[cfg(all(feature = "native", feature = "train"))]
pub(crate) use convert::{begin_beside, read_back};
use header::{Entry, broken};
pub(crate) use names::TABLES;
pub use names::{Head, Param};
use source::Shard;
pub use source::TOKENIZERS;

/// The end of the name of a scale tensor, after the name of its matrix.
const SCALE: &str = ".scale";

/// The most faults that an error lists by name.
const LISTED: usize = 5;

/// The configuration and weights of a model.
#[derive(Debug)]
pub struct Checkpoint {
    config: Config,
    /// Its name in errors.
    name: String,
    shards: Vec<Shard>,
    /// The matrices of an adapter beside those in 8 bits.
    #[cfg(feature = "train")]
    low_rank: Option<Shard>,
}

/// The sorted names of the tensors in the bytes of a file: safetensors, or a PyTorch file if its name `file` ends with
/// `.bin`.
///
/// # Errors
/// `Error::Checkpoint` describes the fault in the file.
#[cfg(feature = "native")]
pub fn names_in(bytes: &[u8], file: &str) -> Result<Vec<String>> {
    let shards = Shard::held_any(bytes.to_vec().into(), file)?;
    let mut names: Vec<String> = shards.iter().flat_map(|s| &s.entries).map(|entry| entry.name.to_string()).collect();
    names.sort_unstable();
    Ok(names)
}

impl Checkpoint {
    /// Opens the Hugging Face BERT directory `dir`: `config.json`, and `model.safetensors`, `pytorch_model.bin` or the
    /// index of either, mapped into memory. It checks that all tensors of the encoder exist in the right shape.
    ///
    /// Other programs must not write to a mapped file in place. If one may, set `CLOZE_NO_MMAP=1`; then files are read
    /// into memory. With the feature `train`, `dir` can also be an [adapter]. Then its base is opened and adapted in
    /// memory; matrices in 8 bits stay as they are.
    ///
    /// # Errors
    /// `Error::Io`, `Error::Config`, `Error::Unsupported` or `Error::Checkpoint`, each with the file, the tensor and
    /// the remedy.
    #[cfg(feature = "native")]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        #[cfg(feature = "train")]
        if adapter::directory::is_adapter(dir) {
            return adapter::directory::open(dir, adapter::Eight::Stays);
        }
        if !dir.join("config.json").exists() {
            // A fault of the directory says more than one missing file.
            source::open(dir)?;
        }
        let config = Config::open(dir)?;
        Self::new(config, dir.display().to_string(), source::open(dir)?)
    }

    /// The directory that has one of these `files` of the model in `dir`. That is `dir` itself, or the base's
    /// directory: an adapter as PEFT saves it has neither configuration nor tokenizer.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`], for an adapter without the files.
    #[cfg(feature = "native")]
    pub fn place_of(files: &[&str], dir: &std::path::Path) -> Result<std::path::PathBuf> {
        #[cfg(feature = "train")]
        if adapter::directory::is_adapter(dir) && !files.iter().any(|file| dir.join(file).is_file()) {
            return adapter::directory::base_of(dir, &adapter::directory::base(dir)?);
        }
        let _ = files;
        Ok(dir.into())
    }

    /// A checkpoint from memory, compiled in or fetched: the text of `config.json` and the bytes of
    /// `model.safetensors`.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`].
    pub fn from_bytes(config_json: &[u8], weights: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        Self::from_files(config_json, [("model.safetensors".into(), weights.into())])
    }

    /// The same with the weights in one or several files, with their names. All their tensors belong to the model. With
    /// the feature `native`, a file whose name ends with `.bin` is read as a PyTorch file.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`]. There must be at least one file, and no tensor may be in two files.
    pub fn from_files(
        config_json: &[u8],
        weights: impl IntoIterator<Item = (String, Cow<'static, [u8]>)>,
    ) -> Result<Self> {
        let config = Config::from_json(config_json, "config.json")?;
        #[cfg(feature = "native")]
        let held = |(file, bytes): (String, Cow<'static, [u8]>)| Shard::held_any(bytes, &file);
        #[cfg(not(feature = "native"))]
        let held = |(file, bytes): (String, Cow<'static, [u8]>)| Shard::held(bytes, &file).map(Some);
        let shards =
            weights.into_iter().map(held).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
        let Some(first) = shards.first() else {
            let help = "Give a Hugging Face BERT model";
            return Err(broken("model.safetensors", None, "it is missing".into(), help));
        };
        source::no_tensor_twice(&shards)?;
        Self::new(config, first.file.clone(), shards)
    }

    fn new(config: Config, name: String, shards: Vec<Shard>) -> Result<Self> {
        let checkpoint = Self {
            config,
            name,
            shards,
            #[cfg(feature = "train")]
            low_rank: None,
        };
        checkpoint.require(Head::Encoder)?;
        Ok(checkpoint)
    }

    /// The same weights with another configuration, without the tensors that `drops` selects by name: the base of a
    /// model with another head.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`], if the encoder does not fit this configuration.
    #[cfg(feature = "train")]
    pub fn recast(mut self, config: Config, drops: impl Fn(&str) -> bool) -> Result<Self> {
        for shard in &mut self.shards {
            shard.entries.retain(|entry| !drops(&names::modern(&entry.name)));
        }
        Ok(Self { low_rank: self.low_rank, ..Self::new(config, self.name, self.shards)? })
    }

    /// Checks that no weight has an adapter beside it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if one has.
    #[cfg(feature = "train")]
    pub(crate) fn has_one_tensor_a_weight(&self) -> Result<()> {
        match self.low_rank {
            None => Ok(()),
            Some(_) => Err(Error::Unsupported {
                what: format!("{}: to train on an adapter over a base in i8", self.name),
                help: help!("First ", Remedy::MergeAdapter),
            }),
        }
    }

    /// All tensors: their names in the files, and their bytes.
    #[cfg(all(feature = "native", feature = "train"))]
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.shards.iter().flat_map(|shard| shard.entries.iter().map(|e| (&*e.name, shard.bytes_of(e))))
    }

    /// The SHA-256 of the weights, in hexadecimal digits. Several files count in their order. An adapter identifies its
    /// base by it.
    #[cfg(feature = "train")]
    pub fn sha256(&self) -> String {
        use sha2::Digest;

        let mut sum = sha2::Sha256::new();
        self.shards.iter().for_each(|shard| sum.update(shard.file_bytes()));
        sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The configuration of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its head: the one that the configuration names, or else the one to which its tensors belong.
    pub fn head(&self) -> Head {
        const ALL: [Head; 8] = [
            Head::QuestionAnswering,
            Head::PreTraining,
            Head::MaskedLm,
            Head::NextSentence,
            Head::SequenceClassification,
            Head::TokenClassification,
            Head::MultipleChoice,
            Head::Pooler,
        ];
        let here = |head: &Head| self.require(*head).is_ok();
        let named = ALL.into_iter().filter(|head| self.config.is_architecture(head.architecture())).find(here);
        named.or_else(|| ALL.into_iter().find(here)).unwrap_or(Head::Encoder)
    }

    /// Checks that every tensor of a model with this head exists, with the right type and shape.
    ///
    /// # Errors
    /// `Error::Checkpoint` lists what is missing or wrong, and names the head that the file has instead.
    pub fn require(&self, head: Head) -> Result<()> {
        let mut faults = Vec::new();
        let mut more = 0;
        let mut missing = 0;
        for param in names::params(&self.config, head) {
            let (problem, help) = match self.locate(&param) {
                Ok(Some(_)) => continue,
                Ok(None) => {
                    missing += 1;
                    (format!("{} is missing", param.name), Help::default())
                }
                Err(Error::Checkpoint { problem, help, .. }) => (problem, help),
                Err(other) => return Err(other),
            };
            if faults.len() < LISTED { faults.push((param.name, problem, help)) } else { more += 1 }
        }
        let Some((first, _, help)) = faults.first() else { return Ok(()) };
        let mut problem = faults.iter().map(|(_, problem, _)| problem.as_str()).collect::<Vec<_>>().join("; ");
        if more > 0 {
            problem += &format!("; and {more} more");
        }
        let others = self.heads();
        let bare = matches!(head, Head::Encoder | Head::Embedding(_));
        let help = if missing == 0 {
            help.clone()
        } else if first == names::OWN_DECODER && missing == 1 {
            "config.json has tie_word_embeddings false: give weights with a decoder of their own, or set it to true"
                .into()
        } else if !bare && !others.is_empty() {
            problem += &format!(" (the file has a head for {})", others.join(", "));
            format!("Give a model fine-tuned as {}, or use the task its head is for", head.architecture()).into()
        } else if !bare {
            problem += " (the file has an encoder without a head)";
            format!("Give a model fine-tuned as {}", head.architecture()).into()
        } else {
            if let Some(entry) = self.shards.iter().flat_map(|s| &s.entries).next() {
                problem += &format!(" (the file has tensors such as {})", clip(&entry.name));
            }
            "Give weights saved by the BERT classes of transformers, with their own config.json".into()
        };
        Err(broken(&self.name, Some(first), problem, help))
    }

    /// The tensor with this `name` in `transformers`. A vector is one row. Its values are checked when it is first
    /// requested.
    ///
    /// # Errors
    /// `Error::Checkpoint` if it is missing, if its shape contradicts the configuration, or if a value is not finite.
    pub fn get(&self, name: &str) -> Result<HostTensor<'_>> {
        self.read(name, true)
    }

    /// A table whose rows are checked when they are used. So a value that is not finite does no harm in an unused row.
    pub(crate) fn table(&self, name: &str) -> Result<HostTensor<'_>> {
        self.read(name, false)
    }

    fn read(&self, name: &str, vets: bool) -> Result<HostTensor<'_>> {
        let unknown = || {
            let problem = format!("the model has no tensor {}", clip(name));
            broken(&self.name, Some(name), problem, "Ask for one that checkpoint::names lists")
        };
        let param = names::param(&self.config, name).ok_or_else(unknown)?;
        let missing = || {
            let problem = format!("{} is missing", param.name);
            broken(&self.name, Some(&param.name), problem, "Give a checkpoint that has it")
        };
        let (shard, entry) = self.locate(&param)?.ok_or_else(missing)?;
        let tensor = self.tensor(shard, entry)?;
        // In 8 bits, -128 is finite but not allowed, and scales have further rules.
        if vets || tensor.dtype == DType::I8 {
            self.vet(shard, entry, &tensor)?;
        }
        Ok(tensor)
    }

    /// The error if a text uses a row of the table `name` that has values that are not finite.
    pub(crate) fn bad_row(&self, name: &str, row: usize) -> Error {
        let problem = format!("row {row} of {name} has a value that is not finite");
        broken(&self.name, Some(name), problem, "The weights are damaged or training diverged: give another checkpoint")
    }

    /// Whether the checkpoint has the tensor `name`, in any spelling and of any shape.
    pub fn has(&self, name: &str) -> bool {
        names::spellings(name).iter().any(|n| self.find(n).is_some())
    }

    /// The type in which its matrices are stored, judged by the word embeddings.
    ///
    /// # Errors
    /// As for [`Checkpoint::get`].
    pub fn dtype(&self) -> Result<DType> {
        Ok(self.table("bert.embeddings.word_embeddings.weight")?.dtype)
    }

    /// Releases all tensors except these, if the checkpoint owns the memory of the weights. Mapped or compiled-in
    /// weights cost no memory.
    pub(crate) fn keep(&mut self, names: &[&str]) {
        let mut kept = Vec::new();
        for name in names.iter().flat_map(|name| names::spellings(name)) {
            kept.push(format!("{name}{SCALE}"));
            kept.push(name);
        }
        for shard in &mut self.shards {
            shard.keep(|name| kept.iter().any(|kept| kept == name));
        }
        #[cfg(feature = "train")]
        {
            self.low_rank = None;
        }
    }

    /// The encoder's layers, starting with the one at the end of the file. In this order,
    /// [`let_go_of_layer`](Self::let_go_of_layer) frees the most memory.
    pub(crate) fn layers_from_the_end(&mut self) -> Vec<usize> {
        let layers = names::spellings("bert.encoder.layer.");
        let is_layer = |name: &str| layers.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let tails: Vec<_> = self.shards.iter_mut().filter_map(|shard| shard.split_tail(is_layer)).collect();
        self.shards.extend(tails);
        let place = |index: &usize| {
            let names = names::spellings(&format!("bert.encoder.layer.{index}.output.dense.weight"));
            names.iter().find_map(|name| self.shards.iter().find_map(|shard| shard.place(name)))
        };
        let mut layers: Vec<_> = (0..self.config.num_hidden_layers).map(|index| (place(&index), index)).collect();
        // Layers are few, and a sort would be much code for a page to load.
        let mut order = Vec::with_capacity(layers.len());
        while let Some(last) = (0..layers.len()).max_by_key(|at| layers[*at]) {
            order.push(layers.swap_remove(last).1);
        }
        order
    }

    /// Releases the tensors of one of the encoder's layers, if the checkpoint owns the memory of the weights.
    pub(crate) fn let_go_of_layer(&mut self, index: usize) {
        let layer = names::spellings(&format!("bert.encoder.layer.{index}."));
        let is_other = |name: &str| !layer.iter().any(|prefix| name.starts_with(prefix.as_str()));
        self.shards.iter_mut().for_each(|shard| shard.let_go(is_other));
    }

    /// The heads of the file, in words.
    fn heads(&self) -> Vec<&'static str> {
        let has = |prefix: &str| self.shards.iter().flat_map(|s| &s.entries).any(|e| e.name.starts_with(prefix));
        names::HEADS.iter().filter(|(prefix, _)| has(prefix)).map(|(_, what)| *what).collect()
    }

    fn find(&self, name: &str) -> Option<(&Shard, &Entry)> {
        self.shards.iter().find_map(|shard| shard.find(name).map(|entry| (shard, entry)))
    }

    /// Finds a parameter, if its type and shape are right.
    fn locate(&self, param: &Param) -> Result<Option<(&Shard, &Entry)>> {
        let spellings = names::spellings(&param.name);
        let mut found = spellings.iter().filter_map(|name| self.find(name));
        let Some((shard, entry)) = found.next() else { return Ok(None) };
        let fault = |problem: String, help: &str| Err(broken(&shard.file, Some(&entry.name), problem, help));
        let name = &clip(&entry.name);
        if let Some((beside, other)) = found.next()
            && (shard.bytes_of(entry) != beside.bytes_of(other)
                || (entry.dtype_name(), entry.shape()) != (other.dtype_name(), other.shape()))
        {
            let problem = format!("both {name} and {} are there, and they differ", clip(&other.name));
            return fault(problem, "Keep one of them");
        }
        let is = entry.shape();
        let fits = match is {
            [n] => param.is_vector && *n as usize == param.cols,
            [rows, cols] => !param.is_vector && *rows as usize == param.rows && *cols as usize == param.cols,
            _ => false,
        };
        if !fits {
            let wanted = if param.is_vector { vec![param.cols] } else { vec![param.rows, param.cols] };
            let problem = format!("{name} has shape {is:?}, the configuration asks for {wanted:?}");
            return fault(problem, "Give the config.json and weights that were saved together");
        }
        match entry.dtype() {
            Some(DType::I8) if param.is_vector => {
                return fault(format!("{name} is I8, which only matrices can be"), header::DAMAGED);
            }
            Some(_) => {}
            None => {
                let problem = format!("{name} is {}, which is not supported", entry.dtype_name());
                return fault(problem, "Save the model as float32, float16 or bfloat16");
            }
        }
        self.tensor(shard, entry)?;
        Ok(Some((shard, entry)))
    }

    /// A tensor of a supported type as rows and columns, with its scales if it is I8.
    fn tensor<'a>(&'a self, shard: &'a Shard, entry: &Entry) -> Result<HostTensor<'a>> {
        let name = &clip(&entry.name);
        let fault = |problem: String, help: Help| broken(&shard.file, Some(name), problem, help);
        let dtype = entry.dtype().ok_or_else(|| {
            fault(format!("{name} is {}", entry.dtype_name()), "Save the model as float32 or float16".into())
        })?;
        if entry.shape().contains(&0) {
            return Err(fault(format!("{name} is empty"), header::DAMAGED.into()));
        }
        // A tensor that is not empty is at most as large as its file, so the product cannot overflow.
        let (rows, cols) = match entry.shape() {
            [rows @ .., cols] => (rows.iter().map(|d| *d as usize).product(), *cols as usize),
            [] => (1, 1),
        };
        let scales: &[u8] = if dtype == DType::I8 {
            let other = || help!("Give the unquantized checkpoint; to make it small, ", Remedy::ConvertToI8);
            let (file, scale) = self
                .find(&format!("{}{SCALE}", entry.name))
                .ok_or_else(|| fault(format!("{name} is I8 but {name}{SCALE} is missing"), other()))?;
            if scale.dtype() != Some(DType::F32) || scale.shape() != [rows as u32] {
                let is = format!("{} {:?}", scale.dtype_name(), scale.shape());
                return Err(fault(format!("{name}{SCALE} is {is}, not F32 [{rows}]"), other()));
            }
            file.bytes_of(scale)
        } else {
            &[]
        };
        Ok(HostTensor::new(dtype, rows, cols, shard.bytes_of(entry), scales))
    }

    /// Checks a tensor's values, once for each checkpoint.
    fn vet(&self, shard: &Shard, entry: &Entry, tensor: &HostTensor) -> Result<()> {
        if entry.vetted.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(fault) = vet::first_fault(tensor) {
            let of = if fault.in_scales { SCALE } else { "" };
            let problem = format!("{}{of} has {} at index {}", clip(&entry.name), fault.value, fault.index);
            let help = "The weights are damaged or training diverged: give another checkpoint";
            return Err(broken(&shard.file, Some(&entry.name), problem, help));
        }
        entry.vetted.store(true, Ordering::Relaxed);
        Ok(())
    }
}
