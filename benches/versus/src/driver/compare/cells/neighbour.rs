//! What takes a server's time beside the connections that are measured.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Bench;
use super::torrent::Torrent;
use crate::args::{Error, failure};
use crate::driver::compare::load::Load;
use crate::driver::compare::placement::{Placement, on_cpus};
use crate::driver::compare::server::Server;
use crate::load::read_http_answer;
use crate::protocol::{self, Kind};

/// What is beside the connections that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    Nothing,
    /// A request each second that computes for 5 ms.
    Callback,
    /// Requests one after the other that compute for 1 ms each.
    Task,
    /// A connection that sends as much as the server takes.
    Flood,
    /// The same, which the server reads in a way that the connection asks for.
    Torrent(protocol::Flood),
}

/// What a server is asked to compute: `GET /spin/MICROSECONDS`.
#[derive(Clone, Copy, Debug)]
struct Spin {
    micros: u64,
    /// From the end of one to the next.
    pause: Duration,
}

/// Requests of a flood that are unanswered: always more than a server reads at once.
const FLOOD_REQUESTS: usize = 1000;

/// The same of an echo, in messages of [`FLOOD_MESSAGE`].
const FLOOD_MESSAGES: usize = 16;
const FLOOD_MESSAGE: usize = 64 << 10;

/// The head start of a flood.
const FLOOD_BEGINS: Duration = Duration::from_millis(50);

/// A flood goes on until it is ended.
const FLOOD_LASTS: Duration = Duration::from_secs(60);

/// How long an answer to a [`Spin`] may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Neighbour {
    /// What it is, for titles.
    pub(super) fn words(self, protocol: Kind) -> &'static str {
        match self {
            Neighbour::Nothing => "",
            Neighbour::Callback => "a callback of 5 ms a second",
            Neighbour::Task => "a task that computes 1 ms a poll",
            Neighbour::Flood if protocol == Kind::Echo => "a flood of 64 KiB messages",
            Neighbour::Flood => "a flood of pipelined requests",
            Neighbour::Torrent(protocol::Flood::Read16) => "a flood read by 16 bytes",
            Neighbour::Torrent(protocol::Flood::Echo64k) => "a flood echoed by 64 KiB",
        }
    }

    /// What it does, for the text about a cell.
    pub(super) fn explanation(self, protocol: Kind) -> &'static str {
        match self {
            Neighbour::Nothing => "",
            Neighbour::Callback => {
                "Another connection asks once a second for /spin/5000, for which the server computes \
                 5 ms. "
            }
            Neighbour::Task => {
                "Another connection asks for /spin/1000 again and again, for which the server \
                 computes 1 ms each time. "
            }
            Neighbour::Flood if protocol == Kind::Echo => {
                "Another connection has 16 messages of 64 KiB under way all the time. "
            }
            Neighbour::Flood => "Another connection has 1,000 requests under way all the time. ",
            Neighbour::Torrent(protocol::Flood::Read16) => {
                "Another connection sends all that the server takes, which reads it by 16 bytes and \
                 throws them away. "
            }
            Neighbour::Torrent(protocol::Flood::Echo64k) => {
                "Another connection sends all that the server takes, which reads it by 64 KiB and \
                 sends them back. "
            }
        }
    }
}

/// Runs `work` beside a neighbour.
pub(super) fn beside<T>(
    neighbour: Neighbour,
    bench: &Bench,
    server: &Server,
    protocol: Kind,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    match neighbour {
        Neighbour::Nothing => work(),
        Neighbour::Callback => {
            // The first comes after half a second.
            beside_spins(Spin { micros: 5000, pause: Duration::from_millis(995) }, server, work)
        }
        Neighbour::Task => beside_spins(Spin { micros: 1000, pause: Duration::ZERO }, server, work),
        Neighbour::Flood => {
            let mut flood = Flood::start(bench, server, protocol)?;
            thread::sleep(FLOOD_BEGINS);
            let done = work()?;
            flood.check()?;
            Ok(done)
        }
        Neighbour::Torrent(flood) => {
            let torrent = Torrent::start(server.addr, flood)?;
            thread::sleep(FLOOD_BEGINS);
            let done = work()?;
            torrent.check()?;
            Ok(done)
        }
    }
}

/// Runs `work` while another thread asks for spins.
fn beside_spins<T>(
    spin: Spin,
    server: &Server,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let (end, ended) = mpsc::channel();
    let addr = server.addr;
    thread::scope(|scope| {
        let asking = scope.spawn(move || {
            on_cpus(&Placement::new(1).load, move || ask_for_spins(addr, spin, ended))
        });
        let done = work();
        drop(end);
        let asked = asking.join().map_err(|_| failure("a thread of the driver panicked"))?;
        let done = done?;
        asked?;
        Ok(done)
    })
}

/// Asks until the other end of the channel is gone.
fn ask_for_spins(addr: SocketAddr, spin: Spin, ended: Receiver<()>) -> Result<(), Error> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let request = format!("GET /spin/{} HTTP/1.1\r\nHost: versus\r\n\r\n", spin.micros);
    let mut pause = spin.pause / 2;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let asked = Instant::now();
        stream.write_all(request.as_bytes())?;
        read_http_answer(&mut stream)?;
        if asked.elapsed() < Duration::from_micros(spin.micros) {
            return Err(failure("it does not compute for /spin"));
        }
        pause = spin.pause;
    }
    Ok(())
}

/// A load on one connection that always has requests under way. It is nice: it shares its CPU with
/// the load that measures.
struct Flood(Child);

impl Flood {
    fn start(bench: &Bench, server: &Server, protocol: Kind) -> Result<Flood, Error> {
        let is_echo = protocol == Kind::Echo;
        let load = Load {
            pipeline: if is_echo { FLOOD_MESSAGES } else { FLOOD_REQUESTS },
            size: FLOOD_MESSAGE,
            ..Load::closed(protocol, 1, FLOOD_LASTS)
        };
        let nice = ["nice", "-n", "19"].map(str::to_owned);
        Ok(Flood(bench.load.start(&load, server.addr, &Placement::new(1).load, &nice)?))
    }

    /// It must have lasted as long as the work beside it.
    fn check(&mut self) -> Result<(), Error> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(failure(format!("the flood ended with {status}"))),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
