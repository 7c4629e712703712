//! `cloze info`

use cloze::Result;
use cloze::choose::open;
use cloze::device::gpu::{Gpu, adapters, is_software};
use cloze::device::{Cpu, Device, Family};
use serde::Serialize;

use super::common::Common;
use super::show::{self, BOLD, DIM, PLAIN};

/// An adapter as `--device gpu:N` counts them.
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
            Err(error) => common.note(&format!("gpu:{number} {}: {error}", info.name)),
        }
    }
    let chosen = cloze::block_on(open(common.device, || Cpu::new(common.threads), Default::default()))?;
    let (device, reason) = (chosen.device.name(), chosen.reason.clone());
    let memory = memory(common, chosen.device)?;
    if common.json {
        return show::json(&serde_json::json!({
            "adapters": found, "device": device, "reason": reason, "model": common.model_name(), "memory": memory,
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
    let (weights, activations) = (mebibytes(memory.weights), mebibytes(memory.activations));
    let text = format!("    weights {weights}, activations of 384 tokens {activations}");
    show::spans(&[(BOLD, "Memory"), (PLAIN, &text)])
}

/// What the model takes on the chosen device.
#[derive(Serialize)]
struct Memory {
    model: String,
    weights: u64,
    activations: u64,
}

fn memory(common: &Common, device: Device) -> Result<Memory> {
    let model = common.any_model(device)?;
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
    })
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

    /// Three lines.
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
