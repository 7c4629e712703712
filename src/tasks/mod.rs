//! Text in, results out: one file a task.

pub mod answer;
pub mod evaluate;
pub mod question_answering;
pub mod squad;
