//! Code that the tests share.

pub mod alloc;
pub mod checkpoint;
pub mod command;
pub mod devices;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "train")]
pub mod lab;
pub mod torch;

use std::path::PathBuf;

/// The path of a fixture in the repository.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
