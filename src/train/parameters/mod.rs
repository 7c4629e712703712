//! A model's parameters: which ones are trained, which stay fixed, low-rank adapters, and the initial values of a new head.

pub(in crate::train) mod frozen;
pub mod lora;
pub(in crate::train) mod params;
pub(in crate::train) mod seed;
