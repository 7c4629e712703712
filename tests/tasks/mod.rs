//! Tasks: from a text to its result.

pub mod answers;
pub mod pipelines;
pub mod rank;
pub mod sentence;
pub mod squad;
