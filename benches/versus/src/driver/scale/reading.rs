//! What a server and the kernel hold at one moment.

use std::fs;

use crate::args::{Error, failure};
use crate::driver::process::Server;

/// What is held with this many connections.
pub(super) struct Reading {
    pub(super) connections: usize,
    /// Resident bytes of the server.
    pub(super) resident: u64,
    /// Bytes of the kernel's objects that the memory cgroup of this process is charged with; `None`
    /// where there is no such group. They are exact, but not all objects are charged.
    pub(super) charged: Option<u64>,
    /// Bytes of the kernel's slabs, of the whole machine. They are whole for the first server: the
    /// slabs keep what was freed before, for the next one.
    pub(super) slab: Option<u64>,
    /// Bytes of TCP's buffers.
    pub(super) tcp: u64,
    /// CPU time of the server so far, the kernel's part included.
    pub(super) cpu_nanoseconds: u64,
}

impl Reading {
    /// Reads what is held now.
    pub(super) fn take(server: &Server, connections: usize) -> Result<Reading, Error> {
        Ok(Reading {
            connections,
            resident: server.resident_bytes()?,
            charged: charged_bytes(),
            slab: meminfo("Slab:"),
            tcp: tcp_bytes()?,
            cpu_nanoseconds: server.cpu_nanoseconds()?,
        })
    }
}

/// Returns the bytes of memory that could be had.
pub(super) fn available_bytes() -> Result<u64, Error> {
    meminfo("MemAvailable:").ok_or_else(|| failure("no MemAvailable in /proc/meminfo"))
}

/// Returns a line of /proc/meminfo, in bytes.
fn meminfo(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(kib.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Returns what the memory cgroup of this process is charged with for the kernel's objects, in either
/// version of cgroups.
fn charged_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let charged = match controllers {
            "" => unified_charged_bytes(path),
            "memory" => {
                let file = format!("/sys/fs/cgroup/memory{path}/memory.kmem.usage_in_bytes");
                fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok())
            }
            _ => None,
        };
        // A group that has been charged with nothing is not counted at all.
        if charged.is_some_and(|bytes| bytes > 0) {
            return charged;
        }
    }
    None
}

/// Returns the charge of a group of the second version.
fn unified_charged_bytes(path: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.stat")).ok()?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("kernel "))?;
    bytes.trim().parse().ok()
}

/// Returns the bytes of TCP's buffers: the pages of /proc/net/sockstat, of 4 KiB.
fn tcp_bytes() -> Result<u64, Error> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages =
        line.and_then(|line| line.split_whitespace().skip_while(|word| *word != "mem").nth(1));
    let pages = pages.ok_or_else(|| failure("no TCP mem in /proc/net/sockstat"))?;
    Ok(pages.parse::<u64>()? * 4096)
}
