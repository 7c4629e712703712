//! The memory of the machine.

/// The bytes that can be allocated without swapping, within the limit of the container; `None` if unknown.
pub fn available() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let free = meminfo_bytes(&meminfo, "MemAvailable:")?;
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(limit.map_or(free, |limit: u64| limit.min(free)))
}

/// The bytes of memory that the machine has; `None` if unknown.
pub fn total() -> Option<u64> {
    meminfo_bytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// The value of a line of `/proc/meminfo`, in bytes.
fn meminfo_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_system_says() {
        let text = "MemTotal: 9 kB\nMemAvailable:    1234 kB\n";
        assert_eq!(meminfo_bytes(text, "MemAvailable:"), Some(1234 * 1024));
        assert_eq!(meminfo_bytes(text, "MemTotal:"), Some(9 * 1024));
        assert_eq!(meminfo_bytes("MemTotal: 9 kB\n", "MemAvailable:"), None);
        assert_eq!(available().is_some(), cfg!(target_os = "linux"));
    }
}
