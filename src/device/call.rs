//! The list of calls as data: what to compute, not how.
//!
//! A [`CallList`] is recorded once for a model. It contains only fixed sizes. Rows that follow the batch are [`Rows`], and each run resolves them
//! with its [`BatchSizes`]. A device plans the list for a capacity and runs it for any batch that fits.

use super::cpu::operands::CpuCall;
use super::limits::Limits;
use super::params::{ParamStruct, ParamValue};
use super::persistent::PersistentTensor;
use super::sizes::{BatchSizes, Rows};
use super::weight::Weight;
use crate::tensor::DType;

/// The source of a tensor's memory.
#[derive(Clone, Debug)]
pub enum Role {
    /// The host writes it before each run.
    Input,
    /// Uploaded once, and never changed.
    Weight(Weight),
    /// Needed from its first write to its last read. Then another tensor uses its memory.
    Temp,
    /// Outlives runs and plans: a trained parameter, its gradient or a moment. Row-major f32.
    Persistent(PersistentTensor),
}

/// The number of a tensor: its place in [`CallList::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// A tensor of the list: `[rows, cols]`, row-major, with elements of four bytes.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The name of the activation or parameter, for traces and errors.
    pub name: String,
    /// The source of its memory.
    pub role: Role,
    /// R, fixed or following the batch.
    pub rows: Rows,
    /// C, fixed.
    pub cols: u32,
}

impl TensorInfo {
    /// The number of elements that the tensor has in a batch of these sizes.
    pub fn len(&self, sizes: BatchSizes) -> usize {
        // With 32-bit addresses the product may overflow. Then no memory is large enough either.
        (self.rows.resolve(sizes) as usize).saturating_mul(self.cols as usize)
    }
}

/// Some rows of a tensor, from row `first` on. It owns no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The tensor.
    pub tensor: TensorId,
    /// The first row.
    pub first: u32,
    /// The number of rows.
    pub rows: Rows,
    /// The columns, which are those of the tensor.
    pub cols: u32,
}

/// A kind of operation: its names, its CPU code and its WGSL variants.
#[derive(Debug)]
pub struct Op {
    /// The stem of its file in `ops/`.
    pub name: &'static str,
    /// The fields of the uniform `params`, and the WGSL struct that declares them.
    pub params: ParamStruct,
    /// The names of the reads, bound in this order from 0; a read that may be missing comes last. A tensor that is also
    /// written is updated in place, and has only its binding among the writes.
    pub reads: &'static [&'static str],
    /// The names of the writes, bound in this order from [`WRITE_BINDING`].
    pub writes: &'static [&'static str],
    /// The code that the CPU device runs. It is also the reference for the shaders.
    pub twin: fn(&mut CpuCall<'_>),
    /// The GPU kernels, the best ones of each family first.
    pub variants: &'static [Variant],
    /// The floating point operations of a call, from the bits of its parameters. They are used for reports, and to
    /// split lists into submissions.
    pub flops: fn(bits: &[u32]) -> f64,
}

/// The binding of the first write. It is fixed, so optional reads do not move it.
pub const WRITE_BINDING: u32 = 8;
/// The binding of the uniform `params`.
pub const PARAMS_BINDING: u32 = 12;
/// The most storage buffers that a call may bind. WebGPU guarantees as many in each shader stage.
pub const MAX_STORAGE_BINDINGS: usize = 8;

/// The kind of GPU that a variant is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Tiles in shared memory, with barriers: for real GPUs.
    Tiles,
    /// Tiles in registers, without barriers: for software GPUs such as lavapipe, where a barrier is slow.
    Registers,
}

impl Family {
    /// "tiles" or "registers".
    pub const fn name(self) -> &'static str {
        match self {
            Family::Tiles => "tiles",
            Family::Registers => "registers",
        }
    }
}

/// One way to compute an op on a GPU.
#[derive(Debug)]
pub struct Variant {
    /// A name that no other variant has: the stem of its shader.
    pub name: &'static str,
    /// The kind of GPU that it is written for. If an op has only one variant, both families use it.
    pub family: Family,
    /// Whether the variant can compute this call under these limits.
    pub fits: fn(&CallContext<'_>, &Limits) -> bool,
    /// The pieces of WGSL that are joined to the shader, after the struct of the op's parameters.
    pub wgsl: fn(&CallContext<'_>) -> Vec<&'static str>,
    /// The values of the shader's `override` declarations.
    pub overrides: fn(&CallContext<'_>) -> Vec<(&'static str, f64)>,
    /// The number of workgroups in each dimension, from the bits of the call's parameters.
    pub grid: fn(bits: &[u32]) -> [u32; 3],
}

/// One operation on some tensors.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kind of operation.
    pub op: &'static Op,
    /// The reads, in the order of [`Op::reads`].
    pub reads: Vec<View>,
    /// The writes, in the order of [`Op::writes`].
    pub writes: Vec<View>,
    /// One value for each field of [`Op::params`].
    pub params: Vec<ParamValue>,
}

/// A call with the tensors of its list. A device chooses a variant by it.
#[derive(Debug)]
pub struct CallContext<'a> {
    /// The call.
    pub call: &'a Call,
    /// All tensors of the list.
    pub tensors: &'a [TensorInfo],
    /// The largest batch of the plan. It may decide between variants that give the same bits.
    pub capacity: BatchSizes,
}

impl CallContext<'_> {
    /// The type in which the weight `reads[at]` is stored; F32 for any other tensor.
    pub fn dtype(&self, at: usize) -> DType {
        match &self.tensors[self.call.reads[at].tensor.0 as usize].role {
            Role::Weight(w) => w.dtype(),
            _ => DType::F32,
        }
    }
}

/// A recorded computation.
#[derive(Clone, Debug, Default)]
pub struct CallList {
    /// The tensors; a [`TensorId`] is an index into them.
    pub tensors: Vec<TensorInfo>,
    /// The calls, in the order in which they run.
    pub calls: Vec<Call>,
    /// The tensors to read back after each run, in this order.
    pub outputs: Vec<TensorId>,
}

impl CallList {
    /// The tensor with this number.
    pub fn info(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.0 as usize]
    }

    /// The floating point operations of all calls, for a batch of these sizes.
    pub fn flops(&self, sizes: BatchSizes) -> f64 {
        let mut bits = Vec::new();
        self.calls.iter().map(|c| c.flops(sizes, &mut bits)).sum()
    }

    /// The same computation, but every written tensor is kept and read back, in the order of the calls: for traces.
    pub fn with_all_outputs(&self) -> Self {
        let mut list = self.clone();
        list.outputs = list.calls.iter().flat_map(|c| c.writes.iter().map(|v| v.tensor)).collect();
        list
    }
}

/// Whether calls can update tensors in place. Only those of training do.
const UPDATES: bool = cfg!(feature = "train");

impl Call {
    /// Whether the call updates `reads[at]` in place, because it also writes it.
    pub fn updates(&self, at: usize) -> bool {
        UPDATES && self.writes.contains(&self.reads[at])
    }

    /// The reads that have a binding of their own, with the number of the binding.
    pub fn read_bindings(&self) -> impl Iterator<Item = (u32, &View)> {
        (0..).zip(&self.reads).filter(|(_, view)| !UPDATES || !self.writes.contains(view))
    }

    /// Replaces `bits` with the bits of the parameters, for a batch of these sizes.
    pub fn resolve(&self, sizes: BatchSizes, bits: &mut Vec<u32>) {
        bits.clear();
        bits.extend(self.params.iter().map(|value| value.bits(sizes)));
    }

    pub(crate) fn flops(&self, sizes: BatchSizes, bits: &mut Vec<u32>) -> f64 {
        self.resolve(sizes, bits);
        (self.op.flops)(bits)
    }
}
