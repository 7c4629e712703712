//! BERT in the browser and on any GPU.

pub mod error;
pub mod tensor;

pub use error::{Error, Result};
