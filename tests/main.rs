//! The integration tests: one binary, one module a subject.

mod answers;
mod checkpoint;
mod cli;
mod faults;
mod golden;
mod hostile;
#[cfg(feature = "hub")]
mod hub;
mod kernels;
mod lockstep;
mod memory;
mod squad;
mod support;
mod text;
mod tidy;
