//! The integration tests: one binary, one module a subject.

mod golden;
mod squad;
mod support;
mod text;
