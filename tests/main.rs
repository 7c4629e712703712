//! The integration tests: one binary, one module a subject.

mod answers;
mod checkpoint;
mod cli;
mod faults;
mod golden;
mod heads;
mod hostile;
mod kernels;
mod lockstep;
mod memory;
mod squad;
mod support;
mod text;
mod tasks;
mod tidy;
