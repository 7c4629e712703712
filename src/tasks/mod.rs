//! The text tasks: which sequences a model reads for an input, and what its numbers mean.
//!
//! To answer questions, start at [`QuestionAnswering`](question_answering::QuestionAnswering). Every other task is a type that works on a
//! [`TextModel`](text_model::TextModel). [`run::run`] runs any number of inputs; [`pack`] packs their sequences into batches.
//! It returns a result or an error for each input.
//!
//! To add a task, implement [`Task`](run::Task); [`classify`] is the shortest example.

pub mod answer;
pub mod classify;
pub mod embed;
pub mod evaluate;
pub mod fill_mask;
pub mod next_sentence;
pub mod pack;
pub mod question_answering;
pub mod rank;
pub mod run;
pub(crate) mod scores;
pub mod squad;
pub mod tag;
pub mod text_model;
pub mod zero_shot;
