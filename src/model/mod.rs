//! BERT as a list of recorded ops, and what it needs to be told. The model knows no device.

pub mod config;
pub mod memory;

pub use config::Config;
