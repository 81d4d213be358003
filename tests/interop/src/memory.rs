//! How much memory a process has, as the kernel counts it.

use std::fs;

/// Returns the most bytes that this process has had in memory since [`forget_peak`], or its start.
pub fn peak() -> usize {
    of("/proc/self/status", "VmHWM:")
}

/// Returns the bytes that this process has in memory.
pub fn resident() -> usize {
    of("/proc/self/status", "VmRSS:")
}

/// Lets [`peak`] begin anew: clear_refs of proc(5).
pub fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("procfs");
}

/// Returns the bytes that the line `name` of a status file says.
fn of(file: &str, name: &str) -> usize {
    let status = fs::read_to_string(file).expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let kibibytes = line.trim().strip_suffix(" kB").expect("a unit");
    kibibytes.parse::<usize>().expect("a number") * 1024
}
