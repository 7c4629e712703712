//! `cloze doctor`

use std::sync::Arc;

use cloze::choose::{Choice, open};
use cloze::device::gpu::{Gpu, adapters};
use cloze::device::{Cpu, Device};
use cloze::self_test::{self, CASES};
use cloze::{Error, Result, measure};
use serde::Serialize;

use super::common::Common;
use super::info::Adapter;
use super::machine::Machine;
use super::show::{self, BOLD, DIM, PLAIN};

/// The results of testing a device.
#[derive(Serialize)]
struct Patient {
    /// The name that `--device` accepts.
    device: String,
    name: String,
    /// Missing for the CPU, and for an adapter that cannot be opened.
    adapter: Option<Adapter>,
    self_test: Vec<Tested>,
    /// The best matmul alone, 512x768x768 in f32.
    gemm_gflops: Option<f64>,
    /// One sequence of 128 tokens through the default model.
    encoder_ms: Option<f64>,
    /// The first fault, in words.
    fault: Option<String>,
    #[serde(skip)]
    error: Option<Error>,
}

/// The self-test with weights of one type.
#[derive(Serialize)]
struct Tested {
    weights: &'static str,
    /// The largest difference of the logits from PyTorch's; null if they are not numbers.
    difference: f32,
    right: bool,
}

pub fn run(common: &Common) -> Result<()> {
    if common.model.is_some() {
        return Err(Error::Option {
            name: "model",
            problem: "the report is about devices, with models of its own".into(),
            help: "Leave it out; `cloze bench --model DIR` times yours".into(),
        });
    }
    let machine = Machine::this();
    let mut patients = Vec::new();
    if matches!(common.device, Choice::Auto | Choice::Cpu) {
        let cpu = Device::Cpu(Cpu::new(common.threads));
        patients.push(Patient::examine("cpu".into(), cpu.name(), None, Ok(cpu), common));
    }
    let all = if common.device == Choice::Cpu { Vec::new() } else { cloze::block_on(adapters()) };
    let wanted = |number: &usize| match common.device {
        Choice::Auto => true,
        Choice::Cpu => false,
        Choice::Gpu => *number == 0,
        Choice::Adapter(n) => *number == n,
    };
    for (number, adapter) in all.iter().enumerate().filter(|(number, _)| wanted(number)) {
        let info = adapter.get_info();
        let opened = cloze::block_on(Gpu::open(adapter, Default::default()));
        let described = opened.as_ref().ok().map(|gpu| Adapter::of(number, &info, gpu));
        let device = opened.map(|gpu| Device::Gpu(Box::new(gpu)));
        patients.push(Patient::examine(format!("gpu:{number}"), info.name, described, device, common));
    }
    if patients.is_empty() {
        // The error says why there is no device.
        cloze::block_on(open(common.device, || Cpu::new(common.threads), Default::default()))?;
    }
    let auto = cloze::block_on(open(Choice::Auto, || Cpu::new(common.threads), Default::default()))?;
    let refused: Vec<_> = auto.refused.iter().map(|error| flat(&show::message(error))).collect();
    let version = env!("CARGO_PKG_VERSION");
    if common.json {
        show::json(&serde_json::json!({
            "version": version, "machine": machine, "devices": patients,
            "auto": { "device": auto.device.name(), "reason": auto.reason, "refused": refused },
        }))?;
    } else {
        show_machine(version, &machine)?;
        show::spans(&[(BOLD, "Devices")])?;
        patients.iter().try_for_each(Patient::show)?;
        if all.is_empty() && common.device == Choice::Auto {
            show::line("  no adapter: install a Vulkan, Metal or DX12 driver to use a GPU")?;
        }
        let name = format!("       {}  ", auto.device.name());
        show::spans(&[(BOLD, "Auto"), (PLAIN, &name), (DIM, &auto.reason)])?;
        refused.iter().try_for_each(|why| show::line(&format!("  not used: {why}")))?;
    }
    match patients.into_iter().find_map(|patient| patient.error) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

impl Patient {
    /// Tests and times a device. A failure becomes part of the results.
    fn examine(
        device: String,
        name: String,
        adapter: Option<Adapter>,
        opened: Result<Device>,
        common: &Common,
    ) -> Self {
        let mut found = Self {
            device,
            name,
            adapter,
            self_test: Vec::new(),
            gemm_gflops: None,
            encoder_ms: None,
            fault: None,
            error: None,
        };
        let stages = |found: &mut Self| -> Result<()> {
            let device = Arc::new(opened?);
            found.stage("self-test", common);
            found.test(&device)?;
            found.stage("timings", common);
            found.gemm_gflops = Some(cloze::block_on(measure::gemm_gflops(&device))?);
            found.encoder_ms = encoder_ms(&device)?;
            Ok(())
        };
        if let Err(error) = stages(&mut found) {
            found.fault = Some(flat(&show::message(&error)));
            found.error = Some(error);
        }
        found
    }

    fn stage(&self, what: &str, common: &Common) {
        common.note(&format!("{} {}: {what}", self.device, self.name));
    }

    /// Runs all cases, even after a failure.
    fn test(&mut self, device: &Arc<Device>) -> Result<()> {
        let mut first_wrong = Ok(());
        for case in &CASES {
            let outcome = cloze::block_on(self_test::run(device, case))?;
            let right = outcome.is_right();
            self.self_test.push(Tested { weights: outcome.dtype.name(), difference: outcome.difference, right });
            first_wrong = first_wrong.and(outcome.require(&self.name));
        }
        first_wrong
    }

    fn show(&self) -> Result<()> {
        match &self.adapter {
            Some(adapter) => adapter.show()?,
            None => {
                let device = format!("{:5}", self.device);
                show::spans(&[(PLAIN, "  "), (BOLD, &device), (PLAIN, "  "), (PLAIN, &self.name)])?;
            }
        }
        if !self.self_test.is_empty() {
            let verdict = |t: &Tested| match t.right {
                true => format!("{} right ({:.0e})", t.weights, t.difference),
                false => format!("{} WRONG ({:.0e})", t.weights, t.difference),
            };
            let verdicts: Vec<_> = self.self_test.iter().map(verdict).collect();
            show::line(&format!("         self-test: {}", verdicts.join(", ")))?;
        }
        let gemm = self.gemm_gflops.map(|rate| format!("matmul {rate:.1} GFLOP/s"));
        let encoder = self.encoder_ms.map(|ms| format!("encoder 1x128 {ms:.1} ms"));
        let timings: Vec<_> = gemm.into_iter().chain(encoder).collect();
        if !timings.is_empty() {
            show::line(&format!("         {}", timings.join(", ")))?;
        }
        let fault =
            |fault: &String| show::spans(&[(PLAIN, "         "), (BOLD, "fault:"), (PLAIN, " "), (PLAIN, fault)]);
        self.fault.iter().try_for_each(fault)
    }
}

fn show_machine(version: &str, machine: &Machine) -> Result<()> {
    let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let bytes = |of: Option<u64>| of.map_or("unknown".into(), gibibytes);
    let titled = |title: &str, text: &str| show::spans(&[(BOLD, title), (PLAIN, text)]);
    titled("Cloze", &format!("      {version}, {} {}", machine.os, machine.arch))?;
    let name = machine.processor.as_deref().unwrap_or("of unknown name");
    titled("Processor", &format!("  {name}, {} cores", machine.cores))?;
    show::line(&format!("           {}; kernels: {}", machine.features.join(" "), machine.kernels))?;
    let (total, available) = (bytes(machine.memory), bytes(machine.memory_available));
    titled("Memory", &format!("     {total}, {available} available"))
}

/// The text on one line, because a driver's message can have many.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fastest forward pass of 1x128 tokens within half a second.
#[cfg(feature = "embedded-model")]
fn encoder_ms(device: &Arc<Device>) -> Result<Option<f64>> {
    use std::time::Instant;

    use cloze::device::Cancel;
    use cloze::tasks::question_answering::QuestionAnswering;

    use super::bench::{milliseconds, pattern};

    let qa = QuestionAnswering::embedded(device.clone())?;
    let batch = pattern(1, 128, qa.model().config().vocab_size);
    let forward = || -> Result<f64> {
        let begun = Instant::now();
        cloze::block_on(qa.model().forward(&batch, &Cancel::new()))?;
        Ok(milliseconds(begun))
    };
    // The first pass compiles kernels and warms up.
    forward()?;
    let begun = Instant::now();
    let mut best = forward()?;
    while milliseconds(begun) < 500.0 {
        best = best.min(forward()?);
    }
    Ok(Some(best))
}

/// Nothing: this build has no default model.
#[cfg(not(feature = "embedded-model"))]
fn encoder_ms(_: &Arc<Device>) -> Result<Option<f64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use cloze::device::gpu::GpuOptions;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_wrong_gpu_and_one_that_does_not_open_are_part_of_the_report() {
        let Cli { common, .. } = Cli::parse_from(["cloze", "doctor", "--quiet"]);
        let closed = Error::Gpu { adapter: "X".into(), problem: "no\nluck".into(), help: "Update the driver".into() };
        let patient = Patient::examine("gpu:9".into(), "X".into(), None, Err(closed), &common);
        assert_eq!(patient.fault.as_deref(), Some("GPU X: no luck. Update the driver"));
        assert!(patient.error.is_some() && patient.self_test.is_empty() && patient.encoder_ms.is_none());

        let Some(adapter) = cloze::block_on(adapters()).into_iter().next() else {
            assert!(std::env::var_os("CLOZE_TEST_ADAPTERS").is_none_or(|v| v != "all"), "a driver is missing");
            eprintln!("SKIPPED: no adapter here");
            return;
        };
        let rewrite: fn(&str, String) -> String = |_, text| text.replace("* weight_scale(", "* 1.1 * weight_scale(");
        let options = GpuOptions { rewrite: Some(rewrite), ..GpuOptions::default() };
        let device = cloze::block_on(Gpu::open(&adapter, options)).map(|gpu| Device::Gpu(Box::new(gpu)));
        let name = adapter.get_info().name;
        let patient = Patient::examine("gpu:0".into(), name.clone(), None, device, &common);
        let rights: Vec<_> = patient.self_test.iter().map(|t| (t.weights, t.right)).collect();
        assert_eq!(rights, [("f32", false), ("f16", false), ("i8", false)]);
        let fault = patient.fault.expect("a fault");
        assert!(fault.starts_with(&format!("{name} computes wrong: with f32 weights matmul (")), "{fault}");
        assert_eq!(patient.error.map(|e| e.code()), Some("wrong"));
    }
}
