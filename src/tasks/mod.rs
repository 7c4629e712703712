//! From text to a result: what to ask the model for, and what its numbers mean.

pub mod answer;
pub mod evaluate;
pub mod question_answering;
pub mod squad;
