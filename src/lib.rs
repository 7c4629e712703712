//! BERT in the browser and on any GPU.

pub mod activation;
pub mod device;
pub mod error;
pub mod graph;
pub mod ops;
pub mod tensor;

pub use error::{Error, Result};
