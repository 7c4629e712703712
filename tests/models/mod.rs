//! Models against PyTorch, and the memory they take.

#[cfg(feature = "train")]
pub mod adapter;
pub mod golden;
pub mod heads;
pub mod large;
pub mod memory;
