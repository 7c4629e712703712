//! The integration tests: one binary, one module a subject.

mod checkpoint;
mod hostile;
mod support;
