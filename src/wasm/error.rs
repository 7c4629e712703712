//! The crate's errors as JavaScript's.

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::Error;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(message: &str);
}

impl From<Error> for JsValue {
    /// An `Error` with the message and the [`code`](Error::code).
    fn from(error: Error) -> Self {
        let value = js_sys::Error::new(&error.to_string());
        // Setting a property of an object made here cannot fail.
        let _ = Reflect::set(&value, &"code".into(), &error.code().into());
        value.into()
    }
}

pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| console_error(&info.to_string())));
}
