//! The command line: the real program, its output, and the files it writes.

pub mod batch;
pub mod cli;
pub mod fields;
pub mod outputs;
pub mod resume;
pub mod saving;
pub mod search;
