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

/// Where a tensor's memory comes from.
#[derive(Clone, Debug)]
pub enum Role {
    /// Written by the host before each run.
    Input,
    /// Uploaded once.
    Weight(Weight),
    /// Lives from its first write to its last read; its memory is recycled.
    Temp,
    /// Outlives runs and plans: a trained parameter, a gradient, a moment. Row-major f32.
    Persistent(PersistentTensor),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// A tensor of the list: `[rows, cols]`, row-major, elements of four bytes.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The activation's or the parameter's name, for traces and errors.
    pub name: String,
    pub role: Role,
    pub rows: Rows,
    pub cols: u32,
}

impl TensorInfo {
    /// Elements the tensor has in this batch.
    pub fn len(&self, sizes: BatchSizes) -> usize {
        // Where addresses have 32 bits there may be no such number; nor is there such memory.
        (self.rows.resolve(sizes) as usize).saturating_mul(self.cols as usize)
    }
}

/// A range of a tensor, in rows from `first`. Virtual: recording allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub tensor: TensorId,
    pub first: u32,
    pub rows: Rows,
    pub cols: u32,
}

/// A kind of operation: its names, its CPU twin, its WGSL variants.
#[derive(Debug)]
pub struct Op {
    /// The stem of its file in `ops/` and of its shaders.
    pub name: &'static str,
    /// The fields of the uniform `params`, and its text in WGSL.
    pub params: ParamStruct,
    /// Names of the bindings read, in binding order from 0; optional ones last. What is also written is updated in
    /// place and has no binding here, only the written one.
    pub reads: &'static [&'static str],
    /// Names of the bindings written, in binding order from [`WRITE_BINDING`].
    pub writes: &'static [&'static str],
    /// The CPU device's product path and the reference for the shaders.
    pub twin: fn(&mut CpuCall<'_>),
    /// Best first within a family.
    pub variants: &'static [Variant],
    /// Floating point operations of a call, from the bits of its parameters: for reports and for cutting submissions.
    pub flops: fn(bits: &[u32]) -> f64,
}

/// Bindings written start here, so that a shader's numbers do not move with optional reads.
pub const WRITE_BINDING: u32 = 8;
/// The uniform `params`.
pub const PARAMS_BINDING: u32 = 12;
/// WebGPU's guaranteed number of storage buffers a stage, kept by every op.
pub const MAX_STORAGE_BINDINGS: usize = 8;

/// Which kind of GPU a variant is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Shared-memory tiles and barriers: real GPUs.
    Tiles,
    /// Register tiles without barriers: software adapters, where a barrier is what is slow.
    Registers,
}

impl Family {
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
    pub name: &'static str,
    /// An op's only variant is used by both families, whatever it says here.
    pub family: Family,
    /// Whether the variant can do this call under these limits.
    pub fits: fn(&CallContext<'_>, &Limits) -> bool,
    /// The pieces of WGSL that make the shader when they are joined, after the struct of the op's parameters.
    pub wgsl: fn(&CallContext<'_>) -> Vec<&'static str>,
    /// Values of the shader's `override` declarations.
    pub overrides: fn(&CallContext<'_>) -> Vec<(&'static str, f64)>,
    /// Workgroups to dispatch, from the bits of the call's parameters.
    pub grid: fn(bits: &[u32]) -> [u32; 3],
}

/// One operation on views.
#[derive(Clone, Debug)]
pub struct Call {
    pub op: &'static Op,
    pub reads: Vec<View>,
    pub writes: Vec<View>,
    /// One value a field of [`Op::params`].
    pub params: Vec<ParamValue>,
}

/// A call with the tensors it names: what a variant is chosen from.
#[derive(Debug)]
pub struct CallContext<'a> {
    pub call: &'a Call,
    pub tensors: &'a [TensorInfo],
    /// The largest batch that the plan is for: what the choice among variants of the same bits may go by.
    pub capacity: BatchSizes,
}

impl CallContext<'_> {
    /// The stored type of the weight that `reads[at]` names; F32 for other tensors.
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
    pub tensors: Vec<TensorInfo>,
    pub calls: Vec<Call>,
    /// Read back after each run, in this order.
    pub outputs: Vec<TensorId>,
}

impl CallList {
    pub fn info(&self, id: TensorId) -> &TensorInfo {
        &self.tensors[id.0 as usize]
    }

    /// The calls' floating point operations for this batch.
    pub fn flops(&self, sizes: BatchSizes) -> f64 {
        let mut bits = Vec::new();
        self.calls.iter().map(|c| c.flops(sizes, &mut bits)).sum()
    }

    /// The same computation with every written tensor kept and read back, in order of the calls: for traces.
    pub fn with_all_outputs(&self) -> Self {
        let mut list = self.clone();
        list.outputs = list.calls.iter().flat_map(|c| c.writes.iter().map(|v| v.tensor)).collect();
        list
    }
}

/// Whether there are calls that update in place: only those of training do.
const UPDATES: bool = cfg!(feature = "train");

impl Call {
    /// Whether `reads[at]` is updated in place: it is among the writes too.
    pub fn updates(&self, at: usize) -> bool {
        UPDATES && self.writes.contains(&self.reads[at])
    }

    /// The reads that have a binding of their own, with its number.
    pub fn read_bindings(&self) -> impl Iterator<Item = (u32, &View)> {
        (0..).zip(&self.reads).filter(|(_, view)| !UPDATES || !self.writes.contains(view))
    }

    /// Writes the parameters' bits for a batch of these sizes into `bits`.
    pub fn resolve(&self, sizes: BatchSizes, bits: &mut Vec<u32>) {
        bits.clear();
        bits.extend(self.params.iter().map(|value| value.bits(sizes)));
    }

    pub(crate) fn flops(&self, sizes: BatchSizes, bits: &mut Vec<u32>) -> f64 {
        self.resolve(sizes, bits);
        (self.op.flops)(bits)
    }
}
