//! From text to a result: what to ask the model for, and what its numbers mean.
//!
//! A task is a [`Task`](run::Task) on a [`TextModel`](text_model::TextModel); [`run::run`] packs the sequences of any
//! number of inputs into batches and gives each its own result or error.

pub mod answer;
pub mod classify;
pub mod embed;
pub mod evaluate;
pub mod fill_mask;
pub mod next_sentence;
pub mod question_answering;
pub mod rank;
pub mod run;
pub(crate) mod scores;
pub mod squad;
pub mod tag;
pub mod text_model;
pub mod zero_shot;
