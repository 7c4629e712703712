//! The arguments of an op's CPU code.

use super::pace::Dispatch;
use super::pack::{Panels, PanelsView};

/// The arguments of an op's `twin`. A twin makes at most one dispatch, as its last action. It may be called again for
/// the remaining tasks, so it writes nothing before the dispatch.
pub struct CpuCall<'a> {
    /// Runs tasks on the pool.
    pub dispatch: &'a Dispatch<'a>,
    /// The bits of the parameters for this batch; `Params::resolved` reads them.
    pub params: &'a [u32],
    /// The reads, in the order of the op's `reads`.
    pub reads: &'a [Operand<'a>],
    /// The writes, in the order of the op's `writes`.
    pub writes: &'a mut [&'a mut [f32]],
}

/// A tensor that a twin reads.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// A tensor or vector, row-major. The words of u32 tensors are the bits of these floats.
    Plain(&'a [f32]),
    /// A matmul's uploaded weight.
    Panels(&'a Panels),
}

impl<'a> Operand<'a> {
    /// The elements of a tensor or vector. A tensor that is updated in place is empty here, and is among the writes.
    pub fn plain(self) -> &'a [f32] {
        match self {
            Operand::Plain(x) => x,
            Operand::Panels(_) => unreachable!("a matmul's weight is read as panels"),
        }
    }

    /// The right side `[n, k]` of a matmul: an uploaded weight, or a tensor that was packed in this run.
    pub fn panels(self, n: usize, k: usize) -> PanelsView<'a> {
        match self {
            Operand::Panels(p) => p.view(),
            Operand::Plain(packed) => PanelsView::packed(n, k, packed),
        }
    }
}
