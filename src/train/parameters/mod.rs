//! A model's parameters: which ones are trained, which stay fixed, low-rank adapters, and the initial values of a new head.

use crate::error::{Error, clip};

pub(in crate::train) mod frozen;
pub mod lora;
pub(in crate::train) mod params;
pub(in crate::train) mod seed;

/// The error for a tensor that the model does not have.
pub(in crate::train) fn unknown(name: &str) -> Error {
    Error::Input {
        problem: format!("the model has no tensor {}", clip(name)),
        help: "Ask for one that checkpoint::names lists".into(),
    }
}
