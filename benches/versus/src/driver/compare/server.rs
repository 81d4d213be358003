//! A server that runs: its processes, and its end.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::candidate::{Candidate, Service};
use super::placement::{Placement, spawn_on};
use crate::args::{Error, failure};
use crate::sys;

/// How long a server may take until it accepts.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a server may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How often is looked whether it has come up, or ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a server has after its first accept until it is loaded: its other loops may listen later.
const SETTLING: Duration = Duration::from_millis(30);

/// A server, ended when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) addr: SocketAddr,
    /// Its processes: the one that was started, and those that this has started.
    pub(super) pids: Vec<i32>,
}

impl Server {
    /// Starts a server on its CPUs, and waits until it accepts.
    ///
    /// # Errors
    ///
    /// Returns the last line that it wrote to stderr, if it ends instead.
    pub(super) fn start(
        bench: &Bench,
        candidate: &Candidate,
        service: Service,
    ) -> Result<Server, Error> {
        if !candidate.can_serve(service) {
            let (protocol, threads) = (service.protocol.name(), service.threads);
            return Err(failure(format!(
                "it can't be told to serve {protocol} on {threads} loops"
            )));
        }
        let addr = free_address()?;
        let log = bench.logs.join(format!("{}.log", candidate.name.replace('/', "-")));
        let command = candidate.command(service, addr)?;
        Server::launch(command, addr, &Placement::new(service.threads).server, log)
    }

    /// Starts a program that is to accept at `addr`.
    pub(super) fn launch(
        mut command: Command,
        addr: SocketAddr,
        cpus: &[usize],
        log: PathBuf,
    ) -> Result<Server, Error> {
        let out =
            File::create(&log).map_err(|error| failure(format!("{}: {error}", log.display())))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let child = spawn_on(&mut command, cpus)?;
        let mut server = Server { child, addr, pids: Vec::new() };
        server.wait_until_it_accepts(&log)?;
        thread::sleep(SETTLING);
        // Some listen before they know that they can serve.
        if let Some(status) = server.child.try_wait()? {
            return Err(reason(status, &log));
        }
        server.pids = processes_below(server.child.id() as i32);
        Ok(server)
    }

    fn wait_until_it_accepts(&mut self, log: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(reason(status, log));
            }
            if TcpStream::connect_timeout(&self.addr, PATIENCE).is_ok() {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        Err(failure(format!("it did not accept at {} within {PATIENCE:?}", self.addr)))
    }

    /// Resident bytes of all its processes.
    pub(super) fn resident_bytes(&self) -> Result<u64, Error> {
        self.pids.iter().map(|pid| crate::driver::process::resident_bytes(*pid)).sum()
    }

    /// The process ids as perf wants them.
    pub(super) fn pid_list(&self) -> String {
        self.pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // The child has not been waited for, so that its id is still its own.
        let _ = sys::terminate(self.child.id() as i32);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address that nothing listens at.
pub(super) fn free_address() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Returns why a server ended before it accepted: the last line that it wrote.
fn reason(status: ExitStatus, log: &Path) -> Error {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    failure(last.map_or_else(|| format!("it ended with {status}"), str::to_owned))
}

/// Returns a process and all that it has started.
fn processes_below(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        found.extend(children_of(pid));
        at += 1;
    }
    found
}

/// Returns the processes that the threads of a process have started. None for one that has ended.
fn children_of(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}
