//! BERT in the browser and on any GPU.

pub mod activation;
pub mod device;
pub mod error;
pub mod tensor;

pub use activation::Activation;
pub use error::{Error, Result};
