//! Devices: how a recorded list of calls runs on the CPU or on a GPU.
//!
//! The model records [`CallList`]s. A [`Device`] plans each list once (it chooses kernels and lays out memory), and runs the plan for any batch that
//! fits. There are exactly two kinds: the CPU and GPUs through `wgpu`.
//!
//! Users need [`Device`], [`Cpu`], [`Gpu`] and [`Cancel`]. All other items are for kernel authors: start at [`call`]. `docs/devices.md` explains the design.

pub mod call;
pub mod cpu;
pub mod gpu;
pub mod limits;
pub mod lockstep;
pub mod memory;
pub mod params;
#[cfg(feature = "train")]
pub mod persistent;
#[cfg(not(feature = "train"))]
#[path = "no_persistent.rs"]
pub mod persistent;
mod plan;
pub mod sizes;
pub(crate) mod weight;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use call::{Call, CallContext, CallList, Family, Op, Role, TensorId, TensorInfo, Variant, View};
pub use cpu::Cpu;
pub use gpu::Gpu;
#[cfg(feature = "train")]
pub(crate) use params::numbers;
pub use params::{Longest, OpParams, Param, ParamStruct, ParamValue};
pub(crate) use params::{params, resolved, wgsl_type};
pub use persistent::PersistentTensor;
pub use sizes::{BatchSizes, Rows};
pub use weight::Weight;

use crate::error::{Error, Result};
use crate::tensor::{DType, HostTensor};

/// Where a list is run.
#[derive(Debug)]
pub enum Device {
    Cpu(Cpu),
    Gpu(Box<Gpu>),
}

/// A list made ready for one device and batches up to a capacity.
#[derive(Debug)]
pub enum Plan {
    Cpu(cpu::CpuPlan),
    Gpu(Box<gpu::GpuPlan>),
}

impl Plan {
    /// The largest batch it runs.
    pub fn capacity(&self) -> BatchSizes {
        match self {
            Plan::Cpu(p) => p.capacity,
            Plan::Gpu(p) => p.capacity,
        }
    }

    /// What computes each call, in the list's order: a GPU's variant, or the CPU twin.
    pub fn kernels(&self) -> Vec<&'static str> {
        match self {
            Plan::Cpu(p) => vec!["cpu"; p.calls()],
            Plan::Gpu(p) => p.variants().map(|(_, variant)| variant).collect(),
        }
    }

    /// Bytes of activation memory it holds.
    pub fn bytes(&self) -> u64 {
        match self {
            Plan::Cpu(p) => p.bytes(),
            Plan::Gpu(p) => p.bytes(),
        }
    }
}

/// A wish to stop, shared between who runs and who waits. Looked at between calls, and where a device pauses.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled while `flag` is true.
    pub fn by(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks whatever runs with this token to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// [`Error::Cancelled`] once [`cancel`](Self::cancel) was called.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// What a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls finished on the CPU, submitted on a GPU.
    pub ops: u64,
    /// Command buffers that a GPU was given.
    pub submissions: u64,
    /// Times that results came back from a GPU.
    pub readbacks: u64,
}

/// A device's [`Counters`] as it counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ops: AtomicU64,
    submissions: AtomicU64,
    readbacks: AtomicU64,
}

impl Tally {
    fn op(&self) {
        self.ops.fetch_add(1, Ordering::Relaxed);
    }

    fn submission(&self) {
        self.submissions.fetch_add(1, Ordering::Relaxed);
    }

    fn readback(&self) {
        self.readbacks.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Counters {
        let [ops, submissions, readbacks] =
            [&self.ops, &self.submissions, &self.readbacks].map(|n| n.load(Ordering::Relaxed));
        Counters { ops, submissions, readbacks }
    }
}

/// The names of ops, and of the variants that compute them.
#[cfg(feature = "train")]
pub type Kernels = std::collections::BTreeMap<&'static str, std::collections::BTreeSet<&'static str>>;

/// One input of a run: the tensor and its elements' bytes, as many as the batch has.
pub type Input<'a> = (TensorId, &'a [u8]);

impl Device {
    /// "cpu" or "gpu".
    pub fn kind(&self) -> &'static str {
        match self {
            Device::Cpu(_) => "cpu",
            Device::Gpu(_) => "gpu",
        }
    }

    /// The processor or adapter, for people.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu(d) => d.name(),
            Device::Gpu(d) => d.name(),
        }
    }

    /// What it has done so far, for all the models that share it.
    pub fn counters(&self) -> Counters {
        match self {
            Device::Cpu(d) => d.tally.read(),
            Device::Gpu(d) => d.tally.read(),
        }
    }

    /// Uploads the right side of a matmul, `[N, K]`; several parts are stacked along N (the fused Q, K and V).
    /// Parts share K; where their types differ they are kept in f32.
    pub fn upload_matrix(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        match self {
            Device::Cpu(d) => d.upload_matrix(name, parts),
            Device::Gpu(d) => d.upload_matrix(name, parts),
        }
    }

    /// Uploads a vector, kept in f32; several parts are joined.
    pub fn upload_vector(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        match self {
            Device::Cpu(d) => d.upload_vector(name, parts),
            Device::Gpu(d) => d.upload_vector(name, parts),
        }
    }

    /// For work of the host between runs: waits as a run would, where the device's thread has other things to do.
    ///
    /// # Errors
    /// [`Error::Cancelled`]
    pub async fn give_way(&self, cancel: &Cancel) -> Result<()> {
        if let Device::Cpu(d) = self {
            d.give_way().await;
        }
        cancel.check()
    }

    /// Makes `list` ready for batches up to `capacity`.
    pub async fn plan(&self, list: &CallList, capacity: BatchSizes) -> Result<Plan> {
        match self {
            Device::Cpu(d) => d.plan(list, capacity).map(Plan::Cpu),
            Device::Gpu(d) => d.plan(list, capacity).await.map(|p| Plan::Gpu(Box::new(p))),
        }
    }

    /// What the bits of a list's results depend on beside its inputs: of each op the variants that compute it, or the CPU's
    /// kind of arithmetic. The same for batches of any size: variants among which a plan chooses by its capacity sum in
    /// the same order.
    #[cfg(feature = "train")]
    pub fn kernels(&self, list: &CallList) -> Kernels {
        match self {
            Device::Cpu(d) => [("cpu", [d.arithmetic()].into())].into(),
            Device::Gpu(d) => d.kernels(list),
        }
    }

    /// Runs a plan and returns the list's outputs, in its order.
    pub async fn run(
        &self,
        plan: &mut Plan,
        sizes: BatchSizes,
        inputs: &[Input<'_>],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>> {
        let capacity = plan.capacity();
        assert!(capacity.holds(sizes), "{sizes:?} over {capacity:?}");
        match (self, plan) {
            (Device::Cpu(d), Plan::Cpu(p)) => d.run(p, sizes, inputs, cancel).await,
            (Device::Gpu(d), Plan::Gpu(p)) => d.run(p, sizes, inputs, cancel).await,
            _ => unreachable!("a plan runs on the device that made it"),
        }
    }

    /// The most rows of `cols` columns that one uploaded matrix stored as `dtype` may have. At least one is tried.
    pub fn max_matrix_rows(&self, cols: usize, dtype: DType) -> usize {
        match self {
            Device::Cpu(_) => usize::MAX,
            Device::Gpu(d) => d.max_matrix_rows(cols, dtype.uploaded()),
        }
    }

    /// The most tokens a batch may have so that a tensor of `cols` columns stays within the device's buffer limits.
    pub fn max_rows(&self, cols: u32) -> u32 {
        match self {
            Device::Cpu(_) => u32::MAX / cols.max(1),
            Device::Gpu(d) => {
                u32::try_from(d.limits().binding_bytes / (u64::from(cols.max(1)) * 4)).unwrap_or(u32::MAX)
            }
        }
    }
}
