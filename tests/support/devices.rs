//! Every device that a test runs on: the CPU, and each adapter with each family of kernels and once with the
//! specification's smallest limits.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cloze::block_on;
use cloze::device::choose::adapters;
use cloze::device::gpu::GpuOptions;
use cloze::device::{Cpu, Device, Family, Gpu};

/// A device and what failures call it.
pub struct TestDevice {
    pub name: String,
    pub device: Arc<Device>,
}

static DEVICES: LazyLock<Vec<TestDevice>> = LazyLock::new(|| {
    let cpu = |threads| TestDevice {
        name: format!("cpu, {threads} threads"),
        device: Arc::new(Device::Cpu(Cpu::new(threads))),
    };
    let mut all = vec![cpu(1), cpu(2)];
    let found = block_on(adapters());
    let wanted = std::env::var("CLOZE_TEST_ADAPTERS").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    assert!(found.len() >= wanted, "{wanted} adapters must be there, {} are", found.len());
    if found.is_empty() {
        println!("skipped: every GPU device, since this machine has no adapter; pkg-scripts/setup installs two");
    }
    for adapter in &found {
        let forced = |family| GpuOptions { family: Some(family), ..Default::default() };
        let (tiles, registers) = (forced(Family::Tiles), forced(Family::Registers));
        let floor = |options| GpuOptions { floor_limits: true, ..options };
        for (kind, options) in [
            ("tiles", tiles),
            ("registers", registers),
            ("tiles, floor limits", floor(tiles)),
            ("registers, floor limits", floor(registers)),
        ] {
            let gpu = block_on(Gpu::open(adapter, options)).expect("an adapter opens");
            all.push(TestDevice {
                name: format!("{}, {kind}", adapter.get_info().name),
                device: Arc::new(Device::Gpu(Box::new(gpu))),
            });
        }
    }
    all
});

/// Runs `body` on every device, one test at a time: software adapters use every core already.
pub fn for_each_device(body: impl Fn(&TestDevice)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for device in DEVICES.iter() {
        body(device);
    }
}
