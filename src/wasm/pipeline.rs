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
    /// Loads a model of `files` for a task. `options` are those of loading, as JSON.
    ///
    /// # Errors
    /// What the crate refuses: files that are broken or of another kind of model, too large a model.
    pub fn load(task: &str, files: Files, host: &Host, options: &str) -> Result<Pipeline> {
        Tasks::load(task, files, host.device.clone(), options).map(|tasks| Pipeline(Arc::new(tasks)))
    }

    /// Runs the request `{"inputs": […], "options": {…}}`, packed. Resolves to an array as JSON: a result an input, or
    /// `{"error": {"code", "message"}}` in its place; for feature extraction to an array of `Float32Array`s or errors.
    ///
    /// # Errors
    /// What concerns all inputs: options, the device's faults, `cancelled`.
    pub async fn run(&self, request: String, cancel: &CancelToken) -> Result<JsValue> {
        let (tasks, cancel) = (self.0.clone(), cancel.0.clone());
        tasks.run(&request, &cancel).await
    }

    /// The head's values of packed sequences of so many tokens each, row after row: for tests and measurements.
    ///
    /// # Errors
    /// `input` for ids or lengths that do not fit, and the device's faults.
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
