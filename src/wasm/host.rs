//! The device that a page's models run on.

use std::sync::Arc;
use std::time::Duration;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::error::JavaScript;
use crate::choose::{self, Choice};
use crate::device::cpu::Pause;
use crate::device::gpu::GpuOptions;
use crate::device::{Cpu, Device};
use crate::error::{Error, Result};

/// How long the CPU works at a time: with the tasks that it cannot cut, less than the 50 ms that browsers call long.
const SLICE: Duration = Duration::from_millis(40);

/// What a device has done since it was opened.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Operations finished, on a GPU sent off.
    pub ops: f64,
    /// Batches of work that a GPU was given.
    pub submissions: f64,
    /// Times that results came back from a GPU.
    pub readbacks: f64,
}

/// An open device, and why it was taken.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Host {
    pub(super) device: Arc<Device>,
    reason: String,
}

#[wasm_bindgen]
impl Host {
    /// Opens `auto`, `webgpu` or `wasm`. `auto` tests a GPU before it takes it. `pause` returns a promise that is
    /// resolved in another turn of the event loop: long work on the CPU waits for one between its time slices.
    ///
    /// # Errors
    /// `option` for another word, `gpu` if a GPU was asked for and there is none.
    pub async fn open(device: String, pause: Function) -> Result<Host> {
        let choice = match device.as_str() {
            "auto" => Choice::Auto,
            "webgpu" => Choice::Gpu,
            "wasm" => Choice::Cpu,
            _ => {
                return Err(Error::Option {
                    name: "device",
                    problem: format!("there is no device '{}'", crate::error::clip(&device)),
                    help: "Use auto, webgpu or wasm".into(),
                });
            }
        };
        let chosen = choose::open(choice, || Cpu::pausing(SLICE, awaiting(pause)), GpuOptions::default()).await?;
        let refused = chosen.refused.iter().map(|error| format!(": {}", error.render(&JavaScript))).collect::<String>();
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

    /// What the device has done so far.
    pub fn counters(&self) -> Counters {
        let counters = self.device.counters();
        let [ops, submissions, readbacks] =
            [counters.ops, counters.submissions, counters.readbacks].map(|count| count as f64);
        Counters { ops, submissions, readbacks }
    }

    /// The rate in GFLOP/s of the device's best matmul: the yardstick of measurements.
    pub async fn gemm_gflops(&self) -> Result<f64> {
        let device = self.device.clone();
        crate::measure::gemm_gflops(&device).await
    }
}

/// Calls `pause` and waits for its promise. Where it fails, work goes on at once.
fn awaiting(pause: Function) -> Pause {
    Box::new(move || {
        let promise = pause.call0(&JsValue::UNDEFINED).ok().and_then(|promise| promise.dyn_into::<Promise>().ok());
        Box::pin(async move {
            if let Some(promise) = promise {
                // A rejection says nothing more than that the pause is over.
                let _ = JsFuture::from(promise).await;
            }
        })
    })
}
