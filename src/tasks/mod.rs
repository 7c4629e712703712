//! From text to a result: what to ask the model for, and what its numbers mean.

pub mod answer;
pub mod squad;
