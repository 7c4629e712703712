//! Chooses a device and says why.

use std::sync::Arc;

use crate::device::gpu::{GpuOptions, adapters, is_software};
use crate::device::{Cpu, Device, Gpu};
use crate::error::{Error, Remedy, Result, help};
use crate::self_test;

/// The user's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A real GPU that computes correctly, or else the CPU, because software GPUs are slower than the CPU device.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// Any adapter, even a software one; the best kind first.
    Gpu,
    /// The adapter with this number in `cloze info`.
    Adapter(usize),
}

impl std::str::FromStr for Choice {
    type Err = Error;

    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "auto" => Ok(Choice::Auto),
            "cpu" => Ok(Choice::Cpu),
            "gpu" => Ok(Choice::Gpu),
            _ => match s.strip_prefix("gpu:").and_then(|n| n.parse().ok()) {
                Some(n) => Ok(Choice::Adapter(n)),
                None => Err(Error::Option {
                    name: "device",
                    problem: format!("unknown device '{s}'"),
                    help: help!("Use auto, cpu, gpu or gpu:N; ", Remedy::ListGpus),
                }),
            },
        }
    }
}

/// A device and the reason for its choice, for people.
#[derive(Debug)]
pub struct Chosen {
    /// The open device.
    pub device: Device,
    /// Why it was chosen.
    pub reason: String,
    /// For each better GPU, why it was not chosen.
    pub refused: Vec<Error>,
}

/// Opens the device that `choice` names. If that is the CPU, `cpu` makes it.
///
/// # Errors
/// [`Error::Gpu`] if the requested adapter does not exist or cannot be opened. `auto` always finds a device.
pub async fn open(choice: Choice, cpu: impl FnOnce() -> Cpu, options: GpuOptions) -> Result<Chosen> {
    let asked = |device| Ok(Chosen { device, reason: "asked for".into(), refused: Vec::new() });
    let number = match choice {
        Choice::Auto => return Ok(auto(cpu, options, |info| !is_software(info)).await),
        Choice::Cpu => return asked(Device::Cpu(cpu())),
        Choice::Gpu => 0,
        Choice::Adapter(number) => number,
    };
    let all = adapters().await;
    let adapter = all.get(number).ok_or_else(|| match all.len() {
        0 => Error::Gpu {
            adapter: "none".into(),
            problem: "this machine has no adapter".into(),
            help: help!("For a GPU, ", Remedy::GetGpu, "; otherwise ", Remedy::UseCpu),
        },
        count => Error::Gpu {
            adapter: number.to_string(),
            problem: format!("no GPU has this number; this machine has {count}, counted from 0"),
            help: help!("Give another number (", Remedy::ListGpus, "), or ", Remedy::UseCpu),
        },
    })?;
    asked(Device::Gpu(Box::new(Gpu::open(adapter, options).await?)))
}

/// The first adapter that satisfies `is_real`, can be opened and passes the [self-test](self_test), or else the CPU.
pub async fn auto(
    cpu: impl FnOnce() -> Cpu,
    options: GpuOptions,
    is_real: impl Fn(&wgpu::AdapterInfo) -> bool,
) -> Chosen {
    let (real, others): (Vec<_>, Vec<_>) = adapters().await.into_iter().partition(|a| is_real(&a.get_info()));
    let mut refused = Vec::new();
    for adapter in real {
        match open_tested(&adapter, options).await {
            Ok(device) => {
                let info = adapter.get_info();
                let reason = format!("{:?} through {:?}", info.device_type, info.backend);
                return Chosen { device, reason, refused };
            }
            Err(error) => refused.push(error),
        }
    }
    let reason = if !refused.is_empty() {
        "no GPU passes the self-test".into()
    } else if others.is_empty() {
        "there is no GPU".into()
    } else {
        // Firefox gives no names.
        let names: Vec<_> = others.iter().map(|a| a.get_info().name).filter(|name| !name.is_empty()).collect();
        let names = if names.is_empty() { String::new() } else { format!(": {}", names.join("; ")) };
        format!("there is no GPU but in software, slower than the CPU path{names}")
    };
    Chosen { device: Device::Cpu(cpu()), reason, refused }
}

async fn open_tested(adapter: &wgpu::Adapter, options: GpuOptions) -> Result<Device> {
    let device = Arc::new(Device::Gpu(Box::new(Gpu::open(adapter, options).await?)));
    self_test::check(&device).await?;
    Ok(Arc::into_inner(device).expect("the self-test's models are gone"))
}
