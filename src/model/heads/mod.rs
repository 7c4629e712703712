//! What stands on top of the encoder: one file a head.

pub mod question_answering;
