//! The device that a page's models run on.

use std::sync::Arc;

use wasm_bindgen::prelude::wasm_bindgen;

use crate::choose::{self, Choice};
use crate::device::Device;
use crate::device::gpu::GpuOptions;
use crate::error::{Error, Result};

/// An open device, and why it was taken.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Host {
    pub(super) device: Arc<Device>,
    reason: String,
}

#[wasm_bindgen]
impl Host {
    /// Opens `auto`, `webgpu` or `wasm`. `auto` tests a GPU before it takes it.
    ///
    /// # Errors
    /// `option` for another word, `gpu` if a GPU was asked for and there is none.
    pub async fn open(device: String) -> Result<Host> {
        let choice = match device.as_str() {
            "auto" => Choice::Auto,
            "webgpu" => Choice::Gpu,
            "wasm" => Choice::Cpu,
            _ => {
                return Err(Error::Option {
                    name: "device",
                    problem: format!("there is no device '{}'", crate::error::clip(&device)),
                    mend: "Use auto, webgpu or wasm".into(),
                });
            }
        };
        let chosen = choose::open(choice, 1, GpuOptions::default()).await?;
        let refused = chosen.refused.iter().map(|error| format!(": {error}")).collect::<String>();
        Ok(Host { device: Arc::new(chosen.device), reason: chosen.reason + &refused })
    }

    /// `webgpu` or `wasm`.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        match *self.device {
            Device::Gpu(_) => "webgpu".into(),
            Device::Cpu(_) => "wasm".into(),
        }
    }

    /// The adapter, for people.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.device.name()
    }

    /// Why this device and no other, for people.
    #[wasm_bindgen(getter)]
    pub fn reason(&self) -> String {
        self.reason.clone()
    }

    /// The rate in GFLOP/s of the device's best matmul: the yardstick of measurements.
    pub async fn gemm_gflops(&self) -> Result<f64> {
        let device = self.device.clone();
        crate::measure::gemm_gflops(&device).await
    }
}
