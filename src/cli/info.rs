//! `cloze info`

use std::collections::BTreeMap;

use cloze::choose::open;
use cloze::device::gpu::{Gpu, adapters, is_software};
use cloze::device::{Cpu, Device, Family};
use cloze::model::Model;
use cloze::sentence::{Dense, Module, Sentence};
use cloze::tasks::embed::{EmbedOptions, Embedder};
use cloze::tasks::run::Task;
use cloze::{Error, Result};
use serde::Serialize;

use super::common::Common;
use super::show::{self, BOLD, DIM, PLAIN};

/// An adapter. `device` is its name for `--device`, such as `gpu:0`.
#[derive(Serialize)]
pub struct Adapter {
    device: String,
    name: String,
    kind: String,
    backend: String,
    driver: String,
    kernels: &'static str,
    why: &'static str,
    buffer_bytes: u64,
    binding_bytes: u64,
    workgroup_bytes: u32,
    invocations: u32,
}

pub fn run(common: &Common) -> Result<()> {
    let mut found = Vec::new();
    for (number, adapter) in cloze::block_on(adapters()).iter().enumerate() {
        let info = adapter.get_info();
        match cloze::block_on(Gpu::open(adapter, Default::default())) {
            Ok(gpu) => found.push(Adapter::of(number, &info, &gpu)),
            Err(error) => common.note(&format!("gpu:{number} {}: {}", info.name, show::message(&error))),
        }
    }
    let chosen = cloze::block_on(open(common.device, || Cpu::new(common.threads), Default::default()))?;
    let (device, reason) = (chosen.device.name(), chosen.reason.clone());
    let memory = memory(common, chosen.device)?;
    if common.json {
        return show::json(&serde_json::json!({
            "adapters": found, "device": device, "reason": reason, "model": common.model_name(), "memory": memory,
            "sentence": memory.sentence,
        }));
    }
    show::spans(&[(BOLD, "Adapters")])?;
    if found.is_empty() {
        show::line("  none: install a Vulkan, Metal or DX12 driver to use a GPU")?;
    }
    for adapter in &found {
        adapter.show()?;
    }
    show::spans(&[(BOLD, "Device"), (PLAIN, &format!("    {device}  ")), (DIM, &reason)])?;
    show::spans(&[(BOLD, "Model"), (PLAIN, &format!("     {}", memory.model))])?;
    if let Some(sentence) = &memory.sentence {
        sentence.show()?;
    }
    let (weights, activations) = (mebibytes(memory.weights), mebibytes(memory.activations));
    let text = format!("    weights {weights}, activations of 384 tokens {activations}");
    show::spans(&[(BOLD, "Memory"), (PLAIN, &text)])
}

/// The memory of the model on the chosen device.
#[derive(Serialize)]
struct Memory {
    model: String,
    weights: u64,
    activations: u64,
    #[serde(skip)]
    sentence: Option<Described>,
}

fn memory(common: &Common, device: Device) -> Result<Memory> {
    let dir = common.model_dir()?.filter(|dir| dir.join("modules.json").is_file());
    match dir.map(|dir| Ok((dir, Sentence::open(dir)?))) {
        Some(Ok((dir, sentence))) => {
            let task = Embedder::open_with(dir, sentence, device)?;
            let sentence = Some(Described::of(&task)?);
            Ok(Memory { sentence, ..memory_of(common, task.model())? })
        }
        // For example a cross-encoder, which is a model like any other.
        None | Some(Err(Error::Unsupported { .. })) => memory_of(common, &common.any_model(device)?),
        Some(Err(error)) => Err(error),
    }
}

fn memory_of(common: &Common, model: &Model) -> Result<Memory> {
    let config = model.config();
    let (layers, hidden) = (config.num_hidden_layers, config.hidden_size);
    Ok(Memory {
        model: format!(
            "{}: {}, {layers} layers, H {hidden}, {}",
            common.model_name(),
            model.head().architecture(),
            model.checkpoint().dtype()?.name()
        ),
        weights: model.weights().map(|w| w.bytes()).sum(),
        activations: cloze::block_on(model.activation_bytes(config.max_position_embeddings.min(384)))?,
        sentence: None,
    })
}

/// The settings of a sentence-transformers directory for vectors.
#[derive(Serialize)]
struct Described {
    modules: Vec<String>,
    dimensions: usize,
    similarity: &'static str,
    prompts: BTreeMap<String, String>,
    default_prompt: Option<String>,
    max_tokens: usize,
}

impl Described {
    fn of(task: &Embedder) -> Result<Self> {
        let sentence = task.sentence();
        let pooler = sentence.has_pooler.then(|| "pooler".to_owned());
        let last = sentence.normalize.then(|| "Normalize".to_owned());
        Ok(Self {
            modules: pooler.into_iter().chain(sentence.modules.iter().map(module)).chain(last).collect(),
            dimensions: task.width(&EmbedOptions::default())?,
            similarity: sentence.similarity.word(),
            prompts: sentence.prompts.named().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            default_prompt: sentence.prompts.default_name().map(str::to_owned),
            max_tokens: task.max_len(),
        })
    }

    /// Prints two lines, or one if there are no prompts.
    fn show(&self) -> Result<()> {
        let Self { dimensions, similarity, max_tokens, .. } = self;
        let modules = self.modules.join(", ");
        let text =
            format!("    {modules}: {dimensions} numbers, compared by {similarity}, of at most {max_tokens} tokens");
        show::spans(&[(BOLD, "Embeds"), (PLAIN, &text)])?;
        let named: Vec<String> = self
            .prompts
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| format!("{name} {text:?}"))
            .collect();
        let default = self.default_prompt.as_ref().map(|name| format!("; by default {name}")).unwrap_or_default();
        match named.is_empty() {
            true => Ok(()),
            false => show::spans(&[(BOLD, "Prompts"), (PLAIN, &format!("   {}{default}", named.join(", ")))]),
        }
    }
}

fn module(module: &Module) -> String {
    match module {
        Module::Pool { poolings, with_prompt } => {
            let words: Vec<_> = poolings.iter().map(|pooling| pooling.word()).collect();
            format!("{}{}", words.join(" + "), if *with_prompt { "" } else { " without the prompt" })
        }
        Module::Dense(Dense { rows, cols, activation, of_tokens, .. }) => {
            format!("Dense {cols} to {rows} ({activation:?}){}", if *of_tokens { " of tokens" } else { "" })
        }
        Module::Norm { .. } => "LayerNorm".into(),
        Module::Normalize => "Normalize".into(),
    }
}

impl Adapter {
    pub fn of(number: usize, info: &cloze::wgpu::AdapterInfo, gpu: &Gpu) -> Self {
        let limits = gpu.limits();
        Self {
            device: format!("gpu:{number}"),
            name: info.name.clone(),
            kind: format!("{:?}", info.device_type),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            kernels: gpu.family().name(),
            why: match gpu.family() {
                Family::Registers => "a software adapter: barriers and shared memory are slow, registers are not",
                Family::Tiles if is_software(info) => "forced",
                Family::Tiles => "a real GPU: tiles in shared memory",
            },
            buffer_bytes: limits.buffer_bytes,
            binding_bytes: limits.binding_bytes,
            workgroup_bytes: limits.workgroup_bytes,
            invocations: limits.invocations,
        }
    }

    /// Prints three lines.
    pub fn show(&self) -> Result<()> {
        let driver = format!("{}, {}, {}", self.kind, self.backend, self.driver);
        let name = format!("  {}  ", self.name);
        show::spans(&[(PLAIN, "  "), (BOLD, &self.device), (PLAIN, &name), (DIM, &driver)])?;
        let (buffer, binding) = (mebibytes(self.buffer_bytes), mebibytes(self.binding_bytes));
        show::line(&format!(
            "         buffer {buffer}, binding {binding}, workgroup {} KiB, {} invocations",
            self.workgroup_bytes / 1024,
            self.invocations
        ))?;
        show::line(&format!("         kernels: {} ({})", self.kernels, self.why))
    }
}

fn mebibytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 100.0 { format!("{mib:.0} MiB") } else { format!("{mib:.1} MiB") }
}
