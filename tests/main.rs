//! Every integration test, in one binary.

mod checkpoint;
mod hostile;
mod support;
