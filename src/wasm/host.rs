//! The device on which the models of a page run.

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

/// How long the CPU works without a pause. Together with a task that cannot be cut, this is below the 50 ms of a long
/// task in browsers.
const SLICE: Duration = Duration::from_millis(40);

/// The work that a device has done since it was opened.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// The operations finished, or submitted to a GPU.
    pub ops: f64,
    /// The batches of work that a GPU received.
    pub submissions: f64,
    /// How often results were read back from a GPU.
    pub readbacks: f64,
}

/// An open device, with the reason for its choice.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Host {
    pub(super) device: Arc<Device>,
    reason: String,
}

#[wasm_bindgen]
impl Host {
    /// Opens `auto`, `webgpu` or `wasm`. With `auto`, a GPU is tested before it is used. `pause` returns a promise that
    /// is resolved in another turn of the event loop. Long work on the CPU awaits one between its time slices.
    ///
    /// # Errors
    /// `option` for another word, `gpu` if a GPU was requested and there is none.
    pub async fn open(device: String, pause: Function) -> Result<Host> {
        let choice = match device.as_str() {
            "auto" => Choice::Auto,
            "webgpu" => Choice::Gpu,
            "wasm" => Choice::Cpu,
            _ => {
                return Err(Error::Option {
                    name: "device",
                    problem: format!("unknown device '{}'", crate::error::clip(&device)),
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

    /// The name of the adapter, for people.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.device.name()
    }

    /// The reason for this device, for people.
    #[wasm_bindgen(getter)]
    pub fn reason(&self) -> String {
        self.reason.clone()
    }

    /// The work that the device has done so far.
    pub fn counters(&self) -> Counters {
        let counters = self.device.counters();
        let [ops, submissions, readbacks] =
            [counters.ops, counters.submissions, counters.readbacks].map(|count| count as f64);
        Counters { ops, submissions, readbacks }
    }

    /// The speed of the device's best matmul in GFLOP/s, for comparison with other measurements.
    pub async fn gemm_gflops(&self) -> Result<f64> {
        let device = self.device.clone();
        crate::measure::gemm_gflops(&device).await
    }
}

/// Calls `pause` and awaits its promise. If it fails, work continues at once.
fn awaiting(pause: Function) -> Pause {
    Box::new(move || {
        let promise = pause.call0(&JsValue::UNDEFINED).ok().and_then(|promise| promise.dyn_into::<Promise>().ok());
        Box::pin(async move {
            if let Some(promise) = promise {
                // A rejected promise also means that the pause is over.
                let _ = JsFuture::from(promise).await;
            }
        })
    })
}
