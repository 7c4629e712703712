//! The devices for tests: the CPU, and each software adapter as every kind of GPU that there are kernels for.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cloze::device::gpu::{GpuOptions, adapters};
use cloze::device::{Cpu, Device, Family, Gpu};

/// A device and its name in failures. It is opened once for the whole run, so that kernels compile only once.
pub struct TestDevice {
    pub name: String,
    pub device: Arc<Device>,
}

/// A part of each adapter's name, and how to get its driver.
const ADAPTERS: [(&str, &str); 2] = [
    ("llvmpipe", "install mesa-vulkan-drivers and name its lvp_icd file in VK_ICD_FILENAMES"),
    ("SwiftShader", "name a vk_swiftshader_icd.json with an absolute library_path in VK_ICD_FILENAMES"),
];

static DEVICES: LazyLock<Vec<TestDevice>> = LazyLock::new(|| cloze::block_on(open()));

/// Runs `check` on every device, one test at a time, because software adapters already use every core.
pub fn for_each_device(mut check: impl FnMut(&TestDevice)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for device in DEVICES.iter() {
        eprintln!("on {}", device.name);
        check(device);
    }
}

/// The same, only for GPUs.
pub fn for_each_gpu(mut check: impl FnMut(&Device, &Gpu)) {
    for_each_device(|test| {
        if let Device::Gpu(gpu) = &*test.device {
            check(&test.device, gpu);
        }
    });
}

/// All adapters of this machine. It names a missing software adapter on stderr, and fails if `CLOZE_TEST_ADAPTERS` is
/// `all`.
pub fn all_adapters() -> Vec<cloze::wgpu::Adapter> {
    let adapters = cloze::block_on(adapters());
    let all = std::env::var_os("CLOZE_TEST_ADAPTERS").is_some_and(|v| v == "all");
    for (part, help) in ADAPTERS {
        if !adapters.iter().any(|a| a.get_info().name.contains(part)) {
            assert!(!all, "{part}: no such adapter here; {help}");
            eprintln!("SKIPPED: {part}: no such adapter here; {help}");
        }
    }
    adapters
}

async fn open() -> Vec<TestDevice> {
    let mut devices: Vec<_> = [1, 2]
        .map(|n| TestDevice { name: format!("cpu, threads {n}"), device: Arc::new(Device::Cpu(Cpu::new(n))) })
        .into();
    let adapters = all_adapters();
    for (part, _) in ADAPTERS {
        let Some(adapter) = adapters.iter().find(|a| a.get_info().name.contains(part)) else { continue };
        for family in [Family::Registers, Family::Tiles] {
            // Some devices use WebGPU's smallest limits and the driver's index checks, and the others what users get.
            let strict = (part == "SwiftShader") == (family == Family::Tiles);
            let options = GpuOptions { family: Some(family), floor_limits: strict, checked: strict, rewrite: None };
            let kind = if strict { ", floor limits, checked" } else { "" };
            let gpu = Gpu::open(adapter, options).await.unwrap_or_else(|e| panic!("{part}: {e}"));
            devices.push(TestDevice {
                name: format!("{part}, {}{kind}", family.name()),
                device: Arc::new(Device::Gpu(Box::new(gpu))),
            });
        }
    }
    devices
}
