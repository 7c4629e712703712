//! Reads requests from JavaScript, which are JSON.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result, clip_message};

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::Option {
        name: "options",
        problem: clip_message(&e),
        help: "Give options of the names and types that the documentation lists".into(),
    })
}
