//! `bindgen MODULE.wasm DIR`: writes MODULE.js, MODULE.d.ts and MODULE_bg.wasm into DIR, as `wasm-bindgen --target web`
//! would, but that the module's place must be given to `init`: the package names it once, where bundlers see it.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, dir] = arguments.as_slice() else {
        eprintln!("usage: bindgen MODULE.wasm DIR");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).typescript(true).omit_default_module_path(true);
    match bindgen.web(true).and_then(|bindgen| bindgen.generate(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bindgen: {module}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
