//! Fine-tuning: from files to a trained model.

pub mod data;
pub mod metrics;
