//! The interface for JavaScript, which the npm package's engine calls. It converts values and computes nothing.
//!
//! A page opens a [`Host`] (which chooses a device and says why), writes the files of a model into [`Files`], and loads a `Pipeline` from
//! both. Errors are rejected as an `Error` with the crate's `code`.
//!
//! The feature `train` builds a separate module, which only pages that train load. It has a `Training` in place of the `Pipeline`.

mod error;
#[cfg(feature = "train")]
mod examples;
mod files;
mod host;
mod json;
#[cfg(not(feature = "train"))]
mod pipeline;
#[cfg(not(feature = "train"))]
mod tasks;
#[cfg(feature = "train")]
mod training;

use wasm_bindgen::prelude::wasm_bindgen;

pub use files::Files;
pub use host::Host;
#[cfg(not(feature = "train"))]
pub use pipeline::Pipeline;
#[cfg(feature = "train")]
pub use training::Training;

use crate::device::Cancel;

/// Exists only in a module that supports Unigram tokenizers.
#[cfg(feature = "unigram")]
#[wasm_bindgen]
pub fn unigram() {}

/// A request to stop, which a running call checks.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct CancelToken(Cancel);

#[wasm_bindgen]
impl CancelToken {
    /// A token that is not cancelled.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that runs with this token to stop.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// Reports the place of a bug before the module stops.
#[wasm_bindgen(start)]
pub fn start() {
    error::report_panics();
}
