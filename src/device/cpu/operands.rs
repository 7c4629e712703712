//! What the CPU code of an op works on.

use super::pace::Dispatch;
use super::pack::{Panels, PanelsView};

/// What a twin gets: resolved parameters and its operands. It makes at most one dispatch, as its last act, and may be
/// called again for tasks that are left: what comes before the dispatch writes nothing.
pub struct CpuCall<'a> {
    pub dispatch: &'a Dispatch<'a>,
    pub params: &'a [u32],
    pub reads: &'a [Operand<'a>],
    pub writes: &'a mut [&'a mut [f32]],
}

/// Something a twin reads.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    Plain(&'a [f32]),
    Panels(&'a Panels),
}

impl<'a> Operand<'a> {
    /// A tensor or a vector; nothing if it is updated in place, and so among the writes.
    pub fn plain(self) -> &'a [f32] {
        match self {
            Operand::Plain(x) => x,
            Operand::Panels(_) => unreachable!("a matmul's weight is read as panels"),
        }
    }

    /// A matmul's right side `[n, k]`: an uploaded weight, or a tensor that was packed in this run.
    pub fn panels(self, n: usize, k: usize) -> PanelsView<'a> {
        match self {
            Operand::Panels(p) => p.view(),
            Operand::Plain(packed) => PanelsView::packed(n, k, packed),
        }
    }
}
