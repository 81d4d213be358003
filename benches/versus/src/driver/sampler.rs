//! Where a process spends its CPU time, by perf: a sample each [`PERIOD_NANOS`] of it.
//!
//! The kernel's own account (utime) rests on samples too, but at the clock tick, which is 10 to 100
//! times as rare; and of a small request only one sample in twenty or thirty is in user space.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::args::{Error, failure};

/// Often enough for some thousand samples in user space over the rounds. On a virtual machine each
/// costs microseconds, which fall to the kernel's side: twice as often doubles the time of a run.
const PERIOD_NANOS: u64 = 100_000;

/// perf on some processes, for as long as the program behind it runs.
#[derive(Debug)]
pub(super) struct Sampler {
    file: PathBuf,
}

impl Sampler {
    /// None when there is no perf.
    pub(super) fn new() -> Option<Sampler> {
        let mut version = Command::new("perf");
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        let works = version.status().is_ok_and(|status| status.success());
        let file = std::env::temp_dir().join(format!("versus-{}.perf", std::process::id()));
        works.then_some(Sampler { file })
    }

    /// The words before a program, by which the processes, separated by commas, are sampled until that
    /// program ends.
    pub(super) fn wrapper(&self, pids: &str) -> Vec<String> {
        let period = PERIOD_NANOS.to_string();
        let out = self.file.display().to_string();
        ["perf", "record", "-q", "-e", "cpu-clock", "-c", &period, "-p", pids, "-o", &out, "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Seconds in user space and in the kernel of what was sampled last.
    pub(super) fn seconds(&self) -> Result<(f64, f64), Error> {
        let mut script = Command::new("perf");
        script.args(["script", "-F", "ip", "-i"]).arg(&self.file).stderr(Stdio::null());
        let out = script.output()?;
        std::fs::remove_file(&self.file)?;
        let (user, kernel) = count(&String::from_utf8_lossy(&out.stdout));
        if user + kernel == 0 {
            return Err(failure("perf took no samples; --ticks does without it"));
        }
        let seconds = |samples: u64| (samples * PERIOD_NANOS) as f64 / 1e9;
        Ok((seconds(user), seconds(kernel)))
    }
}

/// Counts the addresses in user space and in the kernel, which has the upper half of them.
fn count(addresses: &str) -> (u64, u64) {
    let parsed = addresses.lines().filter_map(|line| u64::from_str_radix(line.trim(), 16).ok());
    parsed.fold(
        (0, 0),
        |(user, kernel), address| {
            if address >> 63 == 0 { (user + 1, kernel) } else { (user, kernel + 1) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_half_of_the_addresses_is_the_kernel() {
        assert_eq!(count(" ffffffff810000a0\n     7f924c548b59\n\n 55f798d0c6a2\n"), (2, 1));
    }
}
