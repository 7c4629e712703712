//! BERT in the browser and on any GPU.

pub mod checkpoint;
pub mod error;
pub mod model;
pub mod tensor;

pub use error::{Error, Result};
