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

/// A device that runs lists.
#[derive(Debug)]
pub enum Device {
    /// The CPU.
    Cpu(Cpu),
    /// A GPU, real or software.
    Gpu(Box<Gpu>),
}

/// A list that is ready to run on one device, for batches up to a capacity.
#[derive(Debug)]
pub enum Plan {
    /// A plan for the CPU.
    Cpu(cpu::CpuPlan),
    /// A plan for a GPU.
    Gpu(Box<gpu::GpuPlan>),
}

impl Plan {
    /// The largest batch that it can run.
    pub fn capacity(&self) -> BatchSizes {
        match self {
            Plan::Cpu(p) => p.capacity,
            Plan::Gpu(p) => p.capacity,
        }
    }

    /// The kernel of each call, in the order of the list: a GPU's variant, or "cpu".
    pub fn kernels(&self) -> Vec<&'static str> {
        match self {
            Plan::Cpu(p) => vec!["cpu"; p.calls()],
            Plan::Gpu(p) => p.variants().map(|(_, variant)| variant).collect(),
        }
    }

    /// The bytes of activation memory that it holds.
    pub fn bytes(&self) -> u64 {
        match self {
            Plan::Cpu(p) => p.bytes(),
            Plan::Gpu(p) => p.bytes(),
        }
    }
}

/// A request to stop, shared by all clones. A device checks it between calls, and where it pauses.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that counts as cancelled while `flag` is true.
    pub fn by(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks everything that runs with this token to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Checks for a request to stop.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after [`cancel`](Self::cancel).
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// The work that a device has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The calls that the CPU finished, or that were submitted to a GPU.
    pub ops: u64,
    /// The command buffers that a GPU received.
    pub submissions: u64,
    /// How often results were read back from a GPU.
    pub readbacks: u64,
}

/// The running counts behind a device's [`Counters`].
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

/// The names of ops, each with the names of the variants that compute it.
#[cfg(feature = "train")]
pub type Kernels = std::collections::BTreeMap<&'static str, std::collections::BTreeSet<&'static str>>;

/// One input of a run: the tensor, and the bytes of its elements in this batch.
pub type Input<'a> = (TensorId, &'a [u8]);

impl Device {
    /// "cpu" or "gpu".
    pub fn kind(&self) -> &'static str {
        match self {
            Device::Cpu(_) => "cpu",
            Device::Gpu(_) => "gpu",
        }
    }

    /// The name of the processor or adapter, for people.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu(d) => d.name(),
            Device::Gpu(d) => d.name(),
        }
    }

    /// The work that it has done so far, for all models that share it.
    pub fn counters(&self) -> Counters {
        match self {
            Device::Cpu(d) => d.tally.read(),
            Device::Gpu(d) => d.tally.read(),
        }
    }

    /// Uploads the right side of a matmul, `[N, K]`. Several parts, such as Q, K and V, are stacked along N. All parts
    /// have the same K. If their types differ, they are stored as f32.
    ///
    /// # Errors
    /// On a GPU: [`Error::Memory`] if the matrix is larger than one binding, [`Error::Gpu`], [`Error::DeviceLost`].
    pub fn upload_matrix(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        match self {
            Device::Cpu(d) => d.upload_matrix(name, parts),
            Device::Gpu(d) => d.upload_matrix(name, parts),
        }
    }

    /// Uploads a vector `[C]` as f32. Several parts are joined.
    ///
    /// # Errors
    /// As for [`upload_matrix`](Self::upload_matrix).
    pub fn upload_vector(&self, name: &str, parts: &[HostTensor<'_>]) -> Result<Weight> {
        match self {
            Device::Cpu(d) => d.upload_vector(name, parts),
            Device::Gpu(d) => d.upload_vector(name, parts),
        }
    }

    /// Pauses between runs, for long work of the host, if the device's thread has other work and the time slice is
    /// over.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub async fn give_way(&self, cancel: &Cancel) -> Result<()> {
        if let Device::Cpu(d) = self {
            d.give_way().await;
        }
        cancel.check()
    }

    /// Prepares `list` for batches up to `capacity`: it chooses kernels and allocates memory.
    ///
    /// # Errors
    /// [`Error::Memory`] if the batch does not fit; on a GPU also [`Error::Gpu`] and [`Error::DeviceLost`].
    pub async fn plan(&self, list: &CallList, capacity: BatchSizes) -> Result<Plan> {
        match self {
            Device::Cpu(d) => d.plan(list, capacity).map(Plan::Cpu),
            Device::Gpu(d) => d.plan(list, capacity).await.map(|p| Plan::Gpu(Box::new(p))),
        }
    }

    /// Everything besides the inputs that decides the bits of a list's results: the variants that compute each op, or
    /// the CPU's kind of arithmetic. It is the same for batches of any size. If a plan's capacity decides between
    /// variants, they sum in the same order.
    #[cfg(feature = "train")]
    pub fn kernels(&self, list: &CallList) -> Kernels {
        match self {
            Device::Cpu(d) => [("cpu", [d.arithmetic()].into())].into(),
            Device::Gpu(d) => d.kernels(list),
        }
    }

    /// Runs a plan for a batch of these sizes and returns the outputs, in the order of the list.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; on a GPU also [`Error::Gpu`] and [`Error::DeviceLost`].
    ///
    /// # Panics
    /// If the batch exceeds the plan's capacity, or another kind of device made the plan.
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

    /// The most rows of `cols` columns in one uploaded matrix stored as `dtype`. The answer is at least one packing
    /// unit.
    pub fn max_matrix_rows(&self, cols: usize, dtype: DType) -> usize {
        match self {
            Device::Cpu(_) => usize::MAX,
            Device::Gpu(d) => d.max_matrix_rows(cols, dtype.uploaded()),
        }
    }

    /// The most rows that a tensor of `cols` columns may have within the device's buffer limits.
    pub fn max_rows(&self, cols: u32) -> u32 {
        match self {
            Device::Cpu(_) => u32::MAX / cols.max(1),
            Device::Gpu(d) => {
                u32::try_from(d.limits().binding_bytes / (u64::from(cols.max(1)) * 4)).unwrap_or(u32::MAX)
            }
        }
    }
}
