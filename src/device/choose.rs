//! Which device does the work, and why.

use super::gpu::{GpuOptions, is_software};
use super::{Cpu, Device, Gpu};
use crate::error::{Error, Result};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A real GPU if there is one, else the CPU: software adapters are slower than the CPU path.
    #[default]
    Auto,
    Cpu,
    /// Any adapter, a software one too; the best kind first.
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
                    problem: format!("there is no device '{s}'"),
                    mend: "Use auto, cpu, gpu or gpu:N with a number from `cloze info`".into(),
                }),
            },
        }
    }
}

/// A device and the reason it was taken, for people.
#[derive(Debug)]
pub struct Chosen {
    pub device: Device,
    pub reason: String,
}

/// The machine's adapters in a stable order: real GPUs first, discrete before integrated.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let mut all = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    all.sort_by_cached_key(|adapter| {
        let info = adapter.get_info();
        let rank = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (rank, info.name)
    });
    all
}

/// Opens the device that `choice` names. `threads` is for the CPU; 0 takes as many as there are cores.
pub async fn open(choice: Choice, threads: usize, options: GpuOptions) -> Result<Chosen> {
    let cpu = |reason: String| Ok(Chosen { device: Device::Cpu(Cpu::new(threads)), reason });
    if choice == Choice::Cpu {
        return cpu("asked for".into());
    }
    let all = adapters().await;
    let none = |problem: String| Error::Gpu {
        adapter: "none".into(),
        problem,
        mend: "Install a Vulkan, Metal or DX12 driver, or use --device cpu".into(),
    };
    match choice {
        Choice::Cpu => unreachable!("returned above"),
        Choice::Adapter(n) => {
            let adapter = all.get(n).ok_or_else(|| match all.len() {
                0 => none("this machine has no adapter".into()),
                count => Error::Gpu {
                    adapter: n.to_string(),
                    problem: format!("there is none of this number; this machine has {count}, counted from 0"),
                    mend: "Give a number from `cloze info`, or use --device cpu".into(),
                },
            })?;
            let gpu = Gpu::open(adapter, options).await?;
            Ok(Chosen { device: Device::Gpu(Box::new(gpu)), reason: "asked for".into() })
        }
        Choice::Gpu => {
            let adapter = all.first().ok_or_else(|| none("this machine has no adapter".into()))?;
            let gpu = Gpu::open(adapter, options).await?;
            Ok(Chosen { device: Device::Gpu(Box::new(gpu)), reason: "asked for".into() })
        }
        Choice::Auto => {
            let (software, real): (Vec<_>, Vec<_>) = all.iter().partition(|a| is_software(&a.get_info()));
            let mut refused = None;
            for adapter in real {
                let info = adapter.get_info();
                match Gpu::open(adapter, options).await {
                    Ok(gpu) => {
                        let reason = format!("{:?} through {:?}", info.device_type, info.backend);
                        return Ok(Chosen { device: Device::Gpu(Box::new(gpu)), reason });
                    }
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            let names: Vec<_> = software.iter().map(|a| a.get_info().name).collect();
            cpu(match refused {
                Some(error) => error.to_string(),
                None if names.is_empty() => "there is no GPU".into(),
                None => format!("there is no GPU but in software, slower than the CPU path: {}", names.join("; ")),
            })
        }
    }
}
