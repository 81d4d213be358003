//! The client processes of a server: as many as its connections need.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use crate::args::{Error, failure};
use crate::driver::process::{LOAD_CPU, command, pin_args, spawn};

/// Connections of one client process: below the limit of 20,000 descriptors that many machines have,
/// and few enough that the table of its descriptors is small.
const A_CROWD: usize = 19_000;

/// Client processes, each with a share of the connections.
pub(super) struct Crowds {
    crowds: Vec<Crowd>,
}

/// A client process: `versus crowd`.
struct Crowd {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// How many connections it has.
    connections: usize,
}

impl Crowds {
    /// Starts the processes for this many connections, and opens none.
    pub(super) fn start(addr: SocketAddr, connections: usize) -> Result<Crowds, Error> {
        let firsts = (0..connections).step_by(A_CROWD);
        let crowds = firsts.map(|first| Crowd::start(addr, first)).collect::<Result<_, _>>()?;
        Ok(Crowds { crowds })
    }

    /// Opens connections until all processes together have this many, one process after the other:
    /// what is measured is the server. Returns the time that they took.
    pub(super) fn open_to(&mut self, connections: usize) -> Result<Duration, Error> {
        let mut took = Duration::ZERO;
        for (crowd, first) in self.crowds.iter_mut().zip((0..).step_by(A_CROWD)) {
            let share = connections.saturating_sub(first).min(A_CROWD);
            if share > crowd.connections {
                let answer = crowd.tell(&format!("open {share}"), "opened ")?;
                took += Duration::from_nanos(answer.parse()?);
                crowd.connections = share;
            }
        }
        Ok(took)
    }

    /// Asks on this many connections at random, and returns what each took in nanoseconds, sorted.
    pub(super) fn ask_at_random(&mut self, number: usize) -> Result<Vec<u64>, Error> {
        let total: usize = self.crowds.iter().map(|crowd| crowd.connections).sum();
        let mut latencies = Vec::new();
        for crowd in self.crowds.iter_mut().filter(|crowd| crowd.connections > 0) {
            let share = (number * crowd.connections).div_ceil(total);
            let answer = crowd.tell(&format!("ask {share}"), "asked ")?;
            for word in answer.split_whitespace() {
                latencies.push(word.parse()?);
            }
        }
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// Ends the processes, which closes the connections.
    pub(super) fn end(self) -> Result<(), Error> {
        self.crowds.into_iter().try_for_each(Crowd::end)
    }
}

impl Crowd {
    fn start(addr: SocketAddr, first: usize) -> Result<Crowd, Error> {
        let mut command = command(&[])?;
        command.args(["crowd", "--addr", &addr.to_string(), "--first", &first.to_string()]);
        command.args(pin_args(LOAD_CPU)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let out = child.stdout.take().ok_or_else(|| failure("no stdout"))?;
        Ok(Crowd { child, lines: BufReader::new(out), connections: 0 })
    }

    /// Gives a command, and returns what its answer has behind the beginning.
    fn tell(&mut self, command: &str, beginning: &str) -> Result<String, Error> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| failure("no stdin"))?;
        writeln!(stdin, "{command}")?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        match line.trim_end().strip_prefix(beginning) {
            Some(rest) => Ok(rest.to_owned()),
            None => Err(failure(format!("the clients failed at {command:?}"))),
        }
    }

    fn end(mut self) -> Result<(), Error> {
        // The end of its commands.
        drop(self.child.stdin.take());
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(failure(format!("the clients ended with {status}"))),
        }
    }
}

impl Drop for Crowd {
    /// A measurement that failed leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
