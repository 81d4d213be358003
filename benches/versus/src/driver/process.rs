//! The processes of a measurement, and what `/proc` tells about them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::args::{Error, failure};
use crate::peers::Peer;
use crate::protocol::Kind;
use crate::proxies::Proxy;
use crate::sys;

/// The CPU of the server, and that of the load.
///
/// One for each: the scheduler would else move them about, differently from run to run. On a
/// machine with one CPU both remain where they are.
pub(super) const SERVER_CPU: usize = 0;
pub(super) const LOAD_CPU: usize = 1;

/// A server with one loop, possibly below another program that watches it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Of the server itself: the child may be strace.
    pub(super) pid: i32,
    pub(super) addr: SocketAddr,
}

impl Server {
    /// Starts a server behind the words of `wrapper`, and waits until it listens.
    pub(super) fn start(wrapper: &[String], peer: Peer, protocol: Kind) -> Result<Server, Error> {
        let mut command = command(wrapper)?;
        command.args(["server", "--peer", peer.name(), "--protocol", protocol.name()]);
        Server::launch(command, peer.name())
    }

    /// Starts a proxy to `upstream`, and waits until it listens.
    pub(super) fn start_proxy(proxy: Proxy, upstream: SocketAddr) -> Result<Server, Error> {
        let mut command = command(&[])?;
        command.args(["proxy", "--proxy", proxy.name(), "--upstream", &upstream.to_string()]);
        Server::launch(command, proxy.name())
    }

    /// Starts a server by its command line, and waits until it listens.
    pub(super) fn launch(mut command: Command, name: &str) -> Result<Server, Error> {
        command.args(pin_args(SERVER_CPU)).stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        match read_announcement(&mut child) {
            Ok((addr, pid)) => Ok(Server { child, pid, addr }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failure(format!("{name}: {error}")))
            }
        }
    }

    /// User and system CPU time so far, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<(f64, f64), Error> {
        cpu_seconds(self.pid)
    }

    /// CPU time so far of all its threads, in nanoseconds.
    pub(super) fn cpu_nanoseconds(&self) -> Result<u64, Error> {
        cpu_nanoseconds(self.pid)
    }

    /// Resident memory in bytes.
    pub(super) fn resident_bytes(&self) -> Result<u64, Error> {
        resident_bytes(self.pid)
    }

    /// Ends it by SIGTERM, and holds it to exit status 0.
    pub(super) fn stop(mut self) -> Result<(), Error> {
        sys::terminate(self.pid)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    return Err(failure(format!("the server ended with {status}")));
                }
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(failure("the server does not end"))
    }
}

impl Drop for Server {
    /// A measurement that failed leaves no server behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = sys::terminate(self.pid);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// User and system CPU time of a process so far, in seconds.
pub(super) fn cpu_seconds(pid: i32) -> Result<(f64, f64), Error> {
    // The second field, the name, may have spaces; the fields of the times are the 14th and
    // 15th, in hundredths of a second on every Linux (USER_HZ).
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid))?;
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let mut times = after_name.split_whitespace().skip(11).map(|ticks| ticks.parse::<f64>());
    match (times.next(), times.next()) {
        (Some(user), Some(system)) => Ok((user? / 100.0, system? / 100.0)),
        _ => Err(failure("no CPU times in /proc/PID/stat")),
    }
}

/// CPU time so far of all threads of a process, in nanoseconds.
pub(super) fn cpu_nanoseconds(pid: i32) -> Result<u64, Error> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let time = text.split(' ').next().ok_or_else(|| failure("an empty schedstat"))?;
        total += time.parse::<u64>()?;
    }
    Ok(total)
}

/// Resident memory of a process in bytes.
pub(super) fn resident_bytes(pid: i32) -> Result<u64, Error> {
    Ok(sys::resident_bytes(&pid.to_string())?)
}

/// This program, behind the words of another that runs it.
pub(super) fn command(wrapper: &[String]) -> Result<Command, Error> {
    let this = std::env::current_exe()?;
    let Some((program, words)) = wrapper.split_first() else {
        return Ok(Command::new(this));
    };
    let mut command = Command::new(program);
    command.args(words).arg(this);
    Ok(command)
}

pub(super) fn spawn(command: &mut Command) -> Result<Child, Error> {
    let program = command.get_program().to_owned();
    command.spawn().map_err(|error| failure(format!("{}: {error}", program.display())))
}

/// The two lines that a server begins with.
fn read_announcement(child: &mut Child) -> Result<(SocketAddr, i32), Error> {
    let out = child.stdout.take().ok_or_else(|| failure("no stdout"))?;
    if !sys::wait_readable(out.as_fd(), Some(PATIENCE))? {
        return Err(failure("it does not come up"));
    }
    let mut lines = BufReader::new(out).lines();
    let mut next = || lines.next().ok_or_else(|| failure("it ended before it listened"));
    Ok((next()??.parse()?, next()??.parse()?))
}

/// Keeps this process where a load would be.
pub(super) fn pin_to_load_cpu() -> Result<(), Error> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    if cpus >= 2 {
        sys::pin_to(LOAD_CPU)?;
    }
    Ok(())
}

pub(super) fn pin_args(cpu: usize) -> Vec<String> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 { Vec::new() } else { vec!["--cpu".to_owned(), cpu.to_string()] }
}

/// What a load asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) protocol: Kind,
    pub(super) connections: usize,
    pub(super) pipeline: u64,
    /// A connection for each batch of requests.
    pub(super) churn: bool,
    pub(super) size: usize,
    /// Requests before the measured ones.
    pub(super) warmup: u64,
    /// The measured requests.
    pub(super) requests: u64,
}

/// A load that goes on when it is told.
#[derive(Debug)]
pub(super) struct Load {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Load {
    /// Opens all connections and does the warm-up, behind the words of `wrapper`.
    pub(super) fn start(wrapper: &[String], addr: SocketAddr, work: &Work) -> Result<Load, Error> {
        let mut command = command(wrapper)?;
        command.args(["load", "--protocol", work.protocol.name()]);
        let numbers = [
            ("--addr", addr.to_string()),
            ("--connections", work.connections.to_string()),
            ("--pipeline", work.pipeline.to_string()),
            ("--size", work.size.to_string()),
            ("--warmup", work.warmup.to_string()),
            ("--requests", work.requests.to_string()),
        ];
        command.args(numbers.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        command.args(work.churn.then_some("--churn"));
        Load::launch(command)
    }

    /// Starts a load by its command line, and waits until it has done the warm-up.
    pub(super) fn launch(mut command: Command) -> Result<Load, Error> {
        command.arg("--stepwise").args(pin_args(LOAD_CPU));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let out = child.stdout.take().ok_or_else(|| failure("no stdout"))?;
        let mut load = Load { child, lines: BufReader::new(out) };
        load.expect("ready")?;
        Ok(load)
    }

    /// Does the measured requests. Returns how many a second.
    pub(super) fn ask(&mut self) -> Result<f64, Error> {
        self.go_on()?;
        let line = self.expect("requests ")?;
        let rate = line.split_whitespace().last().and_then(|rate| rate.parse().ok());
        rate.ok_or_else(|| failure(format!("the load says {line:?}")))
    }

    /// Does the measured requests, closes the connections and ends.
    pub(super) fn ask_all(mut self) -> Result<(), Error> {
        self.ask()?;
        self.end()
    }

    /// Closes the connections and ends.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.go_on()?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(failure(format!("the load ended with {status}")))
        }
    }

    fn go_on(&mut self) -> Result<(), Error> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| failure("no stdin"))?;
        Ok(stdin.write_all(b"\n")?)
    }

    /// Waits for a line. Not for ever: a load gives up on a server that is stuck, and ends.
    fn expect(&mut self, beginning: &str) -> Result<String, Error> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        if line.starts_with(beginning) { Ok(line) } else { Err(failure("the load failed")) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Nothing to end when it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What two runs, which differ in nothing but the number of requests, tell about one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct TwoRuns {
    pub(super) few: u64,
    pub(super) many: u64,
}

impl TwoRuns {
    /// Two runs that differ by `requests`; the shorter has enough to be past every warm-up.
    pub(super) fn of(requests: u64) -> TwoRuns {
        let few = 2_000;
        TwoRuns { few, many: few + requests }
    }

    /// The share of one request in the difference of two counts.
    pub(super) fn per_request(self, few: u64, many: u64) -> f64 {
        (many as f64 - few as f64) / (self.many - self.few) as f64
    }
}
