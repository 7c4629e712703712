//! The shell for JavaScript: what the npm package's engine calls. It converts, and computes nothing.
//!
//! A page opens a [`Host`] (which device, and why), writes a model's files into [`Files`], and loads a [`Pipeline`] of
//! both. What is rejected with is an `Error` that has the crate's `code`.

mod error;
mod files;
mod host;
mod pipeline;
mod tasks;

use wasm_bindgen::prelude::wasm_bindgen;

pub use files::Files;
pub use host::Host;
pub use pipeline::Pipeline;

use crate::device::Cancel;

/// A wish to stop, which a running call looks at.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct CancelToken(Cancel);

#[wasm_bindgen]
impl CancelToken {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks whatever runs with this token to stop.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// Lets a bug say where it is before the module stops.
#[wasm_bindgen(start)]
pub fn start() {
    error::report_panics();
}
