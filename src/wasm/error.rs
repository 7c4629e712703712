//! Turns the crate's errors into JavaScript errors.

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Dialect, Error, OptionName, Plain, Remedy};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(message: &str);
}

/// The words of the npm package for options and remedies.
pub(super) struct JavaScript;

impl Dialect for JavaScript {
    /// Turns `top_k` into `topK`.
    fn option(&self, OptionName(name): OptionName) -> String {
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(1);
            camel += &first.to_ascii_uppercase();
            camel += rest;
        }
        camel
    }

    fn remedy(&self, remedy: Remedy) -> &'static str {
        match remedy {
            Remedy::UseCpu => "use device 'wasm'",
            Remedy::GetGpu => "use a browser that has WebGPU",
            other => Plain.remedy(other),
        }
    }
}

impl From<Error> for JsValue {
    /// An `Error` with the message and the [`code`](Error::code).
    fn from(error: Error) -> Self {
        let value = js_sys::Error::new(&error.render(&JavaScript));
        // Setting a property of this new object cannot fail.
        let _ = Reflect::set(&value, &"code".into(), &error.code().into());
        value.into()
    }
}

pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| console_error(&info.to_string())));
}
