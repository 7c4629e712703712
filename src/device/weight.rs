//! Parameters in a device's memory, in the layout that the device chooses.

use std::sync::Arc;

use super::cpu::pack::Panels;
use crate::tensor::DType;

/// A handle to an uploaded parameter; clones share it.
#[derive(Clone)]
pub struct Weight(Arc<Stored>);

pub(crate) struct Stored {
    pub name: String,
    /// `[rows, cols]` = `[N, K]` of a linear layer; a vector is one row.
    pub rows: usize,
    pub cols: usize,
    pub dtype: DType,
    pub layout: Layout,
}

/// The form in which a device stores a parameter.
pub(crate) enum Layout {
    /// On the CPU: a vector or table, row-major.
    Plain(Vec<f32>),
    /// On the CPU: the right side of a matmul, in panels.
    Panels(Panels),
    /// On a GPU: `gpu::upload` describes the packing.
    Buffer(wgpu::Buffer),
}

impl Weight {
    pub(crate) fn new(stored: Stored) -> Self {
        Self(Arc::new(stored))
    }

    /// The name of the parameter, for traces and errors.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// N, the outputs of a linear layer.
    pub fn rows(&self) -> usize {
        self.0.rows
    }

    /// K, the inputs of a linear layer.
    pub fn cols(&self) -> usize {
        self.0.cols
    }

    /// The type in which it is stored on the device.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The bytes of device memory.
    pub fn bytes(&self) -> u64 {
        match &self.0.layout {
            Layout::Plain(v) => v.len() as u64 * 4,
            Layout::Panels(p) => p.bytes() as u64,
            Layout::Buffer(b) => b.size(),
        }
    }
}

impl std::fmt::Debug for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, {}] {}", self.name(), self.rows(), self.cols(), self.dtype().name())
    }
}
