//! Models: results compared with PyTorch, and their memory.

#[cfg(feature = "train")]
pub mod adapter;
pub mod golden;
pub mod heads;
pub mod large;
pub mod memory;
