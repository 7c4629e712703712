//! The self-test passes on every device. A GPU that computes wrong numbers is found, named and not used.

use std::sync::Arc;

use cloze::block_on;
use cloze::choose::{Choice, Chosen, auto};
use cloze::device::gpu::{Gpu, GpuOptions, adapters};
use cloze::device::{Cpu, Device, Family};
use cloze::self_test::{CASES, TOLERANCE, check, run};
use serde_json::{Value, json};

use crate::support::command::run as command;
use crate::support::devices::for_each_device;

#[test]
fn every_device_passes() {
    for_each_device(|test| {
        for case in &CASES {
            let outcome = block_on(run(&test.device, case)).expect("it runs");
            eprintln!("{}: {} off by {:.1e}", test.name, case.dtype.name(), outcome.difference);
            assert!(outcome.is_right() && outcome.wrong.is_none(), "{}: {outcome:?}", test.name);
            // A test that accepts any result would be useless.
            assert!(outcome.difference > 0.0 && outcome.difference <= TOLERANCE, "{}: {outcome:?}", test.name);
        }
    });
}

/// The choice of `auto` on a machine whose only GPU is this software adapter, with rewritten kernels.
fn auto_on(adapter: &str, family: Family, rewrite: Option<fn(&str, String) -> String>) -> Chosen {
    let options = GpuOptions { family: Some(family), rewrite, ..GpuOptions::default() };
    block_on(auto(|| Cpu::new(1), options, |info| info.name == adapter))
}

/// Replaces `from` by `to` in the one line of `kernel` that has it. Other kernels are unchanged.
fn replaced(name: &str, kernel: &str, text: String, from: &str, to: &str) -> String {
    if name != kernel {
        return text;
    }
    assert!(text.contains(from), "{kernel} holds no {from}");
    text.replace(from, to)
}

/// A wrong kernel: the family that has it, and the words of the report. Each fault shows in only some cases of the
/// test, only in its large batches, or only in small differences.
type Fault = (Family, fn(&str, String) -> String, &'static [&'static str]);

const FAULTS: [Fault; 6] = [
    (
        Family::Registers,
        |name, text| replaced(name, "layer_norm_registers_vec4", text, "params.eps", "(params.eps + 0.01)"),
        &["f32", "layer_norm (layer_norm_registers_vec4)", "embeddings.output"],
    ),
    (
        Family::Registers,
        |name, text| replaced(name, "attention_registers_64", text, "params.scale", "(1.01 * params.scale)"),
        &["f16", "attention (attention_registers_64)", "layer.0.context"],
    ),
    (
        Family::Registers,
        |name, text| replaced(name, "attention_plain", text, "params.scale", "(1.01 * params.scale)"),
        &["i8", "attention (attention_plain)", "layer.0.context"],
    ),
    (
        Family::Tiles,
        |name, text| replaced(name, "matmul_tiles_64x64", text, "sum * weight_scale(col)", "1.001 * sum"),
        &["f32", "matmul (matmul_tiles_64x64)", "layer.0.qkv"],
    ),
    (
        Family::Tiles,
        // The scales of the neighbouring row, which only i8 has.
        |name, text| {
            replaced(name, "matmul_tiles_32x32", text, "sum * weight_scale(col)", "sum * weight_scale(col & ~7u)")
        },
        &["i8", "matmul (matmul_tiles_32x32)", "layer.0.qkv"],
    ),
    // The driver refuses to compile this.
    (Family::Tiles, |_, text| text + "fn", &["GPU "]),
];

#[test]
fn a_wrong_gpu_is_named_and_not_used() {
    let mut tried = 0;
    for adapter in block_on(adapters()) {
        let name = adapter.get_info().name;
        for family in [Family::Registers, Family::Tiles] {
            let chosen = auto_on(&name, family, None);
            assert_eq!((chosen.device.name(), chosen.refused.len()), (name.clone(), 0), "{:?}", chosen.refused);
        }
        for (family, rewrite, says) in FAULTS {
            let chosen = auto_on(&name, family, Some(rewrite));
            assert_eq!(
                (chosen.device.kind(), chosen.reason.as_str()),
                ("cpu", "no GPU passes the self-test"),
                "{name}: {says:?}"
            );
            let [refused] = chosen.refused.as_slice() else { panic!("{:?}", chosen.refused) };
            let message = refused.to_string();
            for part in says.iter().chain(&[name.as_str()]) {
                assert!(message.contains(part), "{message}: no {part}");
            }
            assert_eq!(refused.code(), if says.len() > 1 { "wrong" } else { "gpu" });
            tried += 1;
        }
    }
    eprintln!("{tried} wrong GPUs");
}

/// A GPU that is lost during its test is refused as well.
#[test]
fn a_lost_gpu_does_not_pass() {
    for adapter in block_on(adapters()) {
        let gpu = block_on(Gpu::open(&adapter, GpuOptions::default())).expect("an adapter opens");
        gpu.destroy();
        let error = block_on(check(&Arc::new(Device::Gpu(Box::new(gpu))))).expect_err("it is lost");
        // The driver may refuse the first buffer before it reports the loss.
        assert!(["device_lost", "gpu"].contains(&error.code()), "{error}");
    }
}

#[test]
fn without_a_gpu_the_cpu_is_taken_and_nothing_refused() {
    let chosen = block_on(auto(|| Cpu::new(1), GpuOptions::default(), |_| false));
    assert_eq!((chosen.device.kind(), chosen.refused.len()), ("cpu", 0));
    assert!(chosen.reason.starts_with("there is no GPU"), "{}", chosen.reason);
    let asked = block_on(cloze::choose::open(Choice::Cpu, || Cpu::new(1), GpuOptions::default())).expect("a CPU");
    assert_eq!((asked.device.name(), asked.reason.as_str()), (Cpu::new(1).name(), "asked for"));
}

#[test]
fn doctor_reports_and_is_well() {
    let ran = command(&["doctor", "--json", "--device", "cpu"]);
    let report = ran.lines().remove(0);
    assert_eq!(report.as_object().unwrap().keys().collect::<Vec<_>>(), ["auto", "devices", "machine", "version"]);
    assert_eq!(report["auto"]["reason"], "there is no GPU");
    let devices = report["devices"].as_array().unwrap();
    assert_eq!((devices.len(), &devices[0]["device"], &devices[0]["fault"]), (1, &json!("cpu"), &Value::Null));
    for (test, weights) in devices[0]["self_test"].as_array().unwrap().iter().zip(["f32", "f16", "i8"]) {
        assert_eq!((&test["weights"], &test["right"]), (&json!(weights), &json!(true)));
        assert!(test["difference"].as_f64().unwrap() < 1e-4, "{test}");
    }
    assert!(devices[0]["gemm_gflops"].as_f64().unwrap() > 0.0 && devices[0]["encoder_ms"].as_f64().unwrap() > 0.0);
    // Progress goes to stderr, unless --quiet is given.
    assert!(ran.err.contains("cpu CPU") && ran.err.contains("self-test"), "{}", ran.err);

    let people = command(&["doctor", "--quiet", "--threads", "1"]);
    assert_eq!((people.code, people.err.as_str()), (Some(0), ""));
    for part in
        ["Cloze      0.1.0, ", "CPU, 1 thread\n", "self-test: f32 right (", "no adapter: install", "Auto       CPU"]
    {
        assert!(people.out.contains(part), "{}: no {part}", people.out);
    }
    // Nothing in the report identifies the user.
    for name in ["HOME", "USER", "PWD"].iter().filter_map(|key| std::env::var(key).ok()).filter(|v| v.len() > 1) {
        assert!(!people.out.contains(&name), "{name}: {}", people.out);
    }

    let gpu = command(&["doctor", "--json", "--device", "gpu"]).error();
    assert!(gpu.0 == "gpu" && gpu.1.contains("no adapter"), "{gpu:?}");
    assert_eq!(command(&["doctor", "--json", "--model", "x"]).error().0, "option");
}
