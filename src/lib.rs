//! BERT in the browser and on any GPU.

pub mod error;
pub mod tasks;
pub mod tensor;
pub mod text;

pub use error::{Error, Result};
