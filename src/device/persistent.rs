//! Tensors that outlive runs and plans: trained parameters, their gradients and moments, as row-major f32.
//!
//! A call may read such a tensor, write it, or update it in place. The host reads and writes it between runs.

use std::sync::{Arc, Mutex, PoisonError};

use super::Device;
use super::cpu::pool::Floats;
use crate::error::{Error, Result};

/// A handle to a tensor in a device's memory; clones share it.
#[derive(Clone)]
pub struct PersistentTensor(Arc<Inner>);

struct Inner {
    name: String,
    rows: usize,
    cols: usize,
    memory: Memory,
}

pub(crate) enum Memory {
    /// On the CPU. A call takes the values out while it uses them.
    Host(Mutex<Floats>),
    Buffer(wgpu::Buffer),
}

impl PersistentTensor {
    /// The name, for traces and errors.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// R, the number of rows.
    pub fn rows(&self) -> usize {
        self.0.rows
    }

    /// C, the number of columns.
    pub fn cols(&self) -> usize {
        self.0.cols
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.rows * self.0.cols
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are the same tensor, not merely equal ones.
    pub fn is(&self, other: &PersistentTensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes its memory for a call. `Slots` ensures that no call uses one state twice.
    pub(super) fn take(&self) -> Floats {
        match &self.0.memory {
            Memory::Host(values) => std::mem::take(&mut *values.lock().unwrap_or_else(PoisonError::into_inner)),
            Memory::Buffer(_) => unreachable!("{} lives on another device", self.name()),
        }
    }

    /// Gives back what [`take`](Self::take) took.
    pub(super) fn put(&self, taken: Floats) {
        if let Memory::Host(values) = &self.0.memory {
            *values.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        }
    }

    /// Calls `look` with its values, on the CPU.
    pub(super) fn host<R>(&self, look: impl FnOnce(&mut [f32]) -> R) -> R {
        match &self.0.memory {
            Memory::Host(values) => look(&mut values.lock().unwrap_or_else(PoisonError::into_inner)[..self.len()]),
            Memory::Buffer(_) => unreachable!("{} lives on another device", self.name()),
        }
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        match &self.0.memory {
            Memory::Buffer(buffer) => buffer,
            Memory::Host(_) => unreachable!("{} lives on another device", self.name()),
        }
    }
}

impl std::fmt::Debug for PersistentTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, {}]", self.name(), self.rows(), self.cols())
    }
}

impl Device {
    /// Makes a state `[rows, cols]` of zeros.
    ///
    /// # Errors
    /// [`Error::Memory`] if it does not fit into the memory or into one GPU binding, [`Error::Gpu`],
    /// [`Error::DeviceLost`].
    pub fn state(&self, name: &str, rows: usize, cols: usize) -> Result<PersistentTensor> {
        let memory = match self {
            Device::Cpu(_) => {
                let values = Floats::zeros(rows.saturating_mul(cols)).ok_or_else(|| Error::Memory {
                    what: name.into(),
                    need: 4 * rows as u64 * cols as u64,
                    have: 0,
                    help: "Train fewer parameters: by the method lora, or with the embeddings frozen".into(),
                })?;
                Memory::Host(Mutex::new(values))
            }
            Device::Gpu(gpu) => Memory::Buffer(gpu.zeros(name, rows * cols)?),
        };
        Ok(PersistentTensor(Arc::new(Inner { name: name.into(), rows, cols, memory })))
    }

    /// Writes all values of a state, row by row.
    ///
    /// # Panics
    /// If the number of values differs from the number of elements.
    pub fn write_state(&self, state: &PersistentTensor, values: &[f32]) {
        assert_eq!(values.len(), state.len(), "{}: values", state.name());
        match self {
            Device::Cpu(_) => state.host(|to| to.copy_from_slice(values)),
            Device::Gpu(gpu) => gpu.write(state.buffer(), bytemuck::cast_slice(values)),
        }
    }

    /// Sets all values of a state to zero, without any other memory.
    pub fn clear_state(&self, state: &PersistentTensor) {
        match self {
            Device::Cpu(_) => state.host(|values| values.fill(0.0)),
            Device::Gpu(gpu) => gpu.clear(state.buffer()),
        }
    }

    /// Reads all values of a state, row by row.
    ///
    /// # Errors
    /// On a GPU: [`Error::Gpu`], [`Error::DeviceLost`].
    pub async fn read_state(&self, state: &PersistentTensor) -> Result<Vec<f32>> {
        match self {
            Device::Cpu(_) => Ok(state.host(|values| values.to_vec())),
            Device::Gpu(gpu) => gpu.fetch(state.buffer(), state.len()).await,
        }
    }
}
