//! The integration tests: one binary, one module a subject.

mod answers;
mod checkpoint;
mod cli;
mod faults;
mod golden;
mod hostile;
mod kernels;
mod lockstep;
mod memory;
mod self_test;
mod squad;
mod support;
mod text;
mod tidy;
