//! The machine, the compiler, and the versions of the libraries.

use std::fs;
use std::thread;
use std::time::SystemTime;

use super::load::Program;
use super::results::Machine;
use crate::args::Error;

/// The lock file that this program was built by.
const LOCK: &str = include_str!("../../../../../Cargo.lock");

/// The libraries whose versions are named.
const LIBRARIES: &[&str] = &[
    "corepoll", "mio", "tokio", "async-io", "smol", "monoio", "glommio", "compio", "may", "hyper",
    "axum", "rustls", "quinn",
];

/// Describes this machine and this build.
pub(super) fn describe(load: &Program) -> Result<Machine, Error> {
    let one_line = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    Ok(Machine {
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        kernel: one_line("/proc/sys/kernel/osrelease"),
        cpu: cpu_model(&one_line("/proc/cpuinfo")),
        cpus: thread::available_parallelism().map_or(1, usize::from),
        compiler: env!("VERSUS_RUSTC").to_owned(),
        profile: env!("VERSUS_PROFILE").to_owned(),
        load: load.version()?,
        libraries: LIBRARIES.iter().filter_map(|name| version(LOCK, name)).collect(),
    })
}

/// The model of the first CPU. Machines that aren't x86 may name none.
fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// A library with its version, if the lock file has it. Of several versions, the highest.
fn version(lock: &str, name: &str) -> Option<String> {
    let packages = lock.split("[[package]]");
    let field = |package: &str, field: &str| {
        let value = package.lines().find_map(|line| line.strip_prefix(field));
        value.map(|value| value.trim_matches(|of| " =\"".contains(of)).to_owned())
    };
    let own = packages.filter(|package| field(package, "name").as_deref() == Some(name));
    let numbers = |version: &String| {
        version.split('.').map(|number| number.parse().unwrap_or(0)).collect::<Vec<u64>>()
    };
    let highest = own.filter_map(|package| field(package, "version")).max_by_key(numbers)?;
    Some(format!("{name} {highest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_lock_file() {
        let lock = "[[package]]\nname = \"mio\"\nversion = \"0.9.0\"\n\
            [[package]]\nname = \"mio\"\nversion = \"0.10.0\"\n\
            [[package]]\nname = \"mio-extras\"\nversion = \"7.0.0\"\n";
        assert_eq!(version(lock, "mio").as_deref(), Some("mio 0.10.0"));
        assert_eq!(version(lock, "tokio"), None);
        assert!(version(LOCK, "tokio").is_some());
    }

    #[test]
    fn a_machine_that_names_no_cpu_is_named_by_its_architecture() {
        assert_eq!(cpu_model("model name\t: A CPU @ 3 GHz\nmodel name\t: B"), "A CPU @ 3 GHz");
        assert_eq!(cpu_model("processor\t: 0\n"), std::env::consts::ARCH);
    }
}
