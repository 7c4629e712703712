//! GPUs through wgpu: Vulkan, Metal and DX12 in native programs, WebGPU in a browser.

mod lower;
mod pipeline;
mod upload;
mod wait;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use lower::GpuPlan;
pub use pipeline::source;
pub use upload::{PACK_COLS, PACK_ROWS};

use super::call::{CallList, Family};
use super::limits::Limits;
use super::sizes::BatchSizes;
use super::{Cancel, Input, Tally};
use crate::error::{Error, Remedy, Result, help};

impl Limits {
    fn of(limits: &wgpu::Limits) -> Self {
        Self {
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            invocations: limits.max_compute_invocations_per_workgroup,
            groups: limits.max_compute_workgroups_per_dimension,
            binding_bytes: limits.max_storage_buffer_binding_size,
            buffer_bytes: limits.max_buffer_size,
        }
    }
}

/// Options for tests and measurements. The default is right for everything else.
#[derive(Clone, Copy, Debug, Default)]
pub struct GpuOptions {
    /// Uses this family of kernels instead of the one that suits the adapter.
    pub family: Option<Family>,
    /// Requests only the limits that every WebGPU implementation guarantees.
    pub floor_limits: bool,
    /// Lets the driver check every index that a kernel uses.
    pub checked: bool,
    /// Changes the text of each kernel before it is compiled, with checks. Tests use it to see that a wrong kernel is
    /// noticed.
    pub rewrite: Option<fn(kernel: &str, text: String) -> String>,
}

/// Errors that callbacks of the driver leave for the next call.
#[derive(Debug, Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    error: Mutex<Option<String>>,
}

/// An open GPU.
#[derive(Debug)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: Limits,
    family: Family,
    options: GpuOptions,
    faults: Arc<Faults>,
    pipelines: pipeline::Cache,
    /// The last measured speed, in floating point operations per second. It limits the work of one submission.
    rate: AtomicU64,
    pub(super) tally: Tally,
}

/// The work of one submission, in seconds. It is short, so that no watchdog kills it and a cancel takes effect soon.
const SUBMISSION_SECONDS: f64 = 0.3;

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the driver refuses.
    pub async fn open(adapter: &wgpu::Adapter, options: GpuOptions) -> Result<Self> {
        let info = adapter.get_info();
        let wanted = if options.floor_limits { floor_limits() } else { adapter.limits() };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("cloze"),
                required_limits: wanted.clone(),
                memory_hints: wgpu::MemoryHints::MemoryUsage,
                ..Default::default()
            })
            .await
            .map_err(|e| Error::Gpu {
                adapter: info.name.clone(),
                problem: format!("it cannot be opened: {e}"),
                help: help!("Update its driver, or ", Remedy::UseCpu),
            })?;
        let faults = Arc::new(Faults::default());
        let seen = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            keep_first(&seen.lost, format!("{reason:?}: {message}"));
        });
        let seen = faults.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| keep_first(&seen.error, e.to_string())));
        let software = is_software(&info);
        let family = options.family.unwrap_or(if software { Family::Registers } else { Family::Tiles });
        let first_guess = if software { 5e9_f64 } else { 2e11 };
        Ok(Self {
            device,
            queue,
            limits: Limits::of(&wanted),
            family,
            options,
            faults,
            pipelines: pipeline::Cache::default(),
            rate: AtomicU64::new(first_guess.to_bits()),
            tally: Tally::default(),
            info,
        })
    }

    /// The name that the driver gives the adapter.
    pub fn name(&self) -> String {
        self.info.name.clone()
    }

    /// The adapter's name, kind, backend and driver.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// The limits by which kernels are chosen.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The family of kernels in use.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Makes the device unusable, like a driver reset: for tests of what happens then.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Returns the errors that the driver has reported since the last check.
    fn check(&self) -> Result<()> {
        if let Some(problem) = self.faults.lost.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(Error::DeviceLost { adapter: self.info.name.clone(), problem });
        }
        match self.faults.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(problem) => Err(Error::Gpu {
                adapter: self.info.name.clone(),
                problem,
                help: help!("Try a smaller batch, or ", Remedy::UseCpu),
            }),
            None => Ok(()),
        }
    }

    /// The floating point operations that one submission may hold.
    fn budget(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed)) * SUBMISSION_SECONDS
    }

    pub(super) async fn plan(&self, list: &CallList, capacity: BatchSizes) -> Result<GpuPlan> {
        self.plan_pinned(list, capacity, None).await
    }

    /// A plan that uses the variant named `pin` wherever it fits: for measurements and tests of one kernel.
    ///
    /// # Errors
    /// [`Error::Memory`] if the batch does not fit, [`Error::Gpu`], [`Error::DeviceLost`].
    pub async fn plan_pinned(&self, list: &CallList, capacity: BatchSizes, pin: Option<&str>) -> Result<GpuPlan> {
        let plan = lower::lower(self, list, capacity, pin)?;
        self.check()?;
        Ok(plan)
    }

    pub(super) async fn run(
        &self,
        plan: &mut GpuPlan,
        sizes: BatchSizes,
        inputs: &[Input<'_>],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>> {
        self.check()?;
        let result = lower::run(self, plan, sizes, inputs, cancel).await;
        self.check()?;
        result
    }
}

/// A browser would free the device's memory only when it collects garbage, which may be much later.
#[cfg(target_arch = "wasm32")]
impl Drop for Gpu {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

fn keep_first(place: &Mutex<Option<String>>, message: String) {
    place.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
}

/// The adapters of the machine in a stable order: real GPUs first, discrete before integrated ones.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    // Outside of a page or a worker, such as in Node.js, creating an instance panics.
    if cfg!(target_arch = "wasm32") && !wgpu::util::is_browser_webgpu_supported().await {
        return Vec::new();
    }
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

/// Whether an adapter is a software GPU, such as lavapipe.
pub fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu
}

/// The limits that the WebGPU specification guarantees.
fn floor_limits() -> wgpu::Limits {
    wgpu::Limits::default()
}
