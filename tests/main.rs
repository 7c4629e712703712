//! The integration tests: one binary, one module a subject.

mod answers;
mod checkpoint;
mod golden;
mod hostile;
mod kernels;
mod squad;
mod support;
mod text;
