//! Fine-tuning: from files to a trained model.

pub mod data;
pub mod features;
pub mod metrics;
pub mod order;
pub mod random;
