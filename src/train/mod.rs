//! Fine-tuning: from files to a trained model.

pub mod curves;
pub mod data;
pub mod features;
pub mod metrics;
pub mod order;
pub mod random;
#[cfg(feature = "native")]
pub mod save;
