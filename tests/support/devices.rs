//! The devices that tests run on: the CPU, and each software adapter as every kind of GPU that kernels are written for.

use std::sync::OnceLock;

use cloze::device::gpu::GpuOptions;
use cloze::device::{Cpu, Device, Family, Gpu, choose};

/// A device under its name, opened once for the whole run so that kernels compile once.
pub struct Named {
    pub name: String,
    pub device: Device,
}

/// What an adapter's name contains, and where its driver comes from.
const ADAPTERS: [(&str, &str); 2] = [
    ("llvmpipe", "install mesa-vulkan-drivers and name its lvp_icd file in VK_ICD_FILENAMES"),
    ("SwiftShader", "name a vk_swiftshader_icd.json with an absolute library_path in VK_ICD_FILENAMES"),
];

/// Every device; an adapter that is missing is named on stderr.
pub fn devices() -> &'static [Named] {
    static DEVICES: OnceLock<Vec<Named>> = OnceLock::new();
    DEVICES.get_or_init(|| pollster::block_on(open()))
}

/// Runs `check` on every device, and says which one failed.
pub fn for_each_device(mut check: impl FnMut(&Device)) {
    for Named { name, device } in devices() {
        eprintln!("on {name}");
        check(device);
    }
}

/// The same for GPUs alone.
pub fn for_each_gpu(mut check: impl FnMut(&Device, &Gpu)) {
    for_each_device(|device| {
        if let Device::Gpu(gpu) = device {
            check(device, gpu);
        }
    });
}

async fn open() -> Vec<Named> {
    let mut devices = vec![Named { name: "cpu".into(), device: Device::Cpu(Cpu::new(2)) }];
    let adapters = choose::adapters().await;
    for (part, mend) in ADAPTERS {
        let Some(adapter) = adapters.iter().find(|a| a.get_info().name.contains(part)) else {
            eprintln!("SKIPPED: {part}: no such adapter here; {mend}");
            continue;
        };
        for family in [Family::Registers, Family::Tiles] {
            // The floor and the driver's index checks take turns with what users get.
            let strict = (part == "SwiftShader") == (family == Family::Tiles);
            let options = GpuOptions { family: Some(family), floor_limits: strict, checked: strict };
            let kind = if strict { ", floor limits, checked" } else { "" };
            let gpu = Gpu::open(adapter, options).await.unwrap_or_else(|e| panic!("{part}: {e}"));
            devices
                .push(Named { name: format!("{part}, {}{kind}", family.name()), device: Device::Gpu(Box::new(gpu)) });
        }
    }
    devices
}
