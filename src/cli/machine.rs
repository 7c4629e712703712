//! Describes the machine, without anything that identifies its owner.

use cloze::device::cpu::micro::Isa;
use cloze::model::memory;
use serde::Serialize;

/// The operating system, the processor and the memory.
#[derive(Serialize)]
pub struct Machine {
    pub os: &'static str,
    pub arch: &'static str,
    /// The name of the processor, if the system reports it.
    pub processor: Option<String>,
    /// The instruction sets that it has, of those that matter here.
    pub features: Vec<&'static str>,
    /// The instruction set of the CPU device's kernels.
    pub kernels: &'static str,
    pub cores: usize,
    /// The memory in bytes; missing if the system does not report it.
    pub memory: Option<u64>,
    pub memory_available: Option<u64>,
}

impl Machine {
    pub fn this() -> Self {
        Self {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            processor: processor(),
            features: features(),
            kernels: Isa::detect().name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory::total(),
            memory_available: memory::available(),
        }
    }
}

/// The brand string of `cpuid`.
#[cfg(target_arch = "x86_64")]
fn processor() -> Option<String> {
    use std::arch::x86_64::__cpuid;

    const FIRST: u32 = 0x8000_0002;
    if __cpuid(0x8000_0000).eax < FIRST + 2 {
        return None;
    }
    let registers = (FIRST..FIRST + 3).map(__cpuid).flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx]);
    let bytes: Vec<u8> = registers.flat_map(u32::to_le_bytes).take_while(|byte| *byte != 0).collect();
    let name = String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

/// The name in /proc on Linux; elsewhere only the architecture is known.
#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
    value("model name").or_else(|| value("Model")).map(|name| name.trim().to_owned())
}

fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}
