//! A task on a model.

use std::sync::Arc;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::tasks::Tasks;
use super::{CancelToken, Files, Host};
use crate::batch::Batch;
use crate::error::{Error, Result};

/// A model loaded for one task.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Pipeline(Arc<Tasks>);

#[wasm_bindgen]
impl Pipeline {
    /// Loads a model from `files` for a task. `options` are the options of loading, as JSON.
    ///
    /// # Errors
    /// The crate's errors: for broken files, files of another kind of model, and a model that is too large.
    pub fn load(task: &str, files: Files, host: &Host, options: &str) -> Result<Pipeline> {
        Tasks::load(task, files, host.device.clone(), options).map(|tasks| Pipeline(Arc::new(tasks)))
    }

    /// Runs the request `{"inputs": […], "options": {…}}` in packed batches. Resolves to a JSON array with a result for
    /// each input, or `{"error": {"code", "message"}}` in its place. For feature extraction it resolves to an array of
    /// `Float32Array`s or errors.
    ///
    /// # Errors
    /// Errors that concern all inputs: options, the device's errors, `cancelled`.
    pub async fn run(&self, request: String, cancel: &CancelToken) -> Result<JsValue> {
        let (tasks, cancel) = (self.0.clone(), cancel.0.clone());
        tasks.run(&request, &cancel).await
    }

    /// The head's values for packed sequences with these numbers of tokens, row by row: for tests and measurements.
    ///
    /// # Errors
    /// `input` for ids or lengths that do not fit, and the device's errors.
    pub async fn logits(
        &self,
        ids: Vec<u32>,
        types: Vec<u32>,
        lengths: Vec<u32>,
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        let (tasks, cancel) = (self.0.clone(), cancel.0.clone());
        let mut batch = Batch::default();
        let mut first = 0;
        for length in lengths {
            let range = first..first + length as usize;
            let (Some(ids), Some(types)) = (ids.get(range.clone()), types.get(range.clone())) else {
                let problem = "the lengths add up to more than there are ids and types".to_owned();
                return Err(Error::Input { problem, help: "Give an id and a type for each token".into() });
            };
            batch.push(ids, types);
            first = range.end;
        }
        tasks.model().forward(&batch, &cancel).await
    }
}
