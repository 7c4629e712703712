//! Training: gradients, examples, and runs of `cloze train`.

pub mod features;
#[cfg(feature = "train")]
pub mod gradients;
#[cfg(feature = "train")]
pub mod methods;
#[cfg(feature = "train")]
pub mod pytorch;
#[cfg(feature = "train")]
pub mod train;
