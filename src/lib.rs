//! BERT in the browser and on any GPU.

pub mod activation;
pub mod batch;
pub mod checkpoint;
pub mod device;
#[cfg(feature = "embedded-model")]
pub mod embedded;
pub mod error;
#[cfg(feature = "native")]
pub mod files;
pub mod graph;
pub mod model;
pub mod ops;
pub mod tasks;
pub mod tensor;
pub mod text;

pub use error::{Error, Result};
#[cfg(feature = "native")]
pub use pollster::block_on;
pub use wgpu;
