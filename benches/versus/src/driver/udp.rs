//! Datagrams: what the echo of one costs a server. User instructions (callgrind), system calls (strace),
//! and how many a second of its CPU time yields, the kernel's part included.
//!
//! There are two loads. One sends single datagrams, up to 64 at once by sendmmsg(2), and 64 are under way.
//! The other sends messages of up to 64 datagrams, which the kernel splits (UDP_SEGMENT) unless the receiver
//! takes them whole (UDP_GRO), and 256 are under way. A server that does not ask for UDP_GRO gets single
//! datagrams from both.
//!
//! The servers run side by side and have their turns A B C A B C. CPU time is the kernel's account of all
//! threads of a server; the ratio is that of a round, its median of all rounds.

use lexopt::prelude::*;

use super::process::{Load, Server, TwoRuns, command};
use super::{instructions, syscalls, table};
use crate::args::{Error, failure};
use crate::udp;

const HELP: &str = "\
versus udp [options]
  --servers A,B,..  default all of this build; the first is what the others are held against
  --sizes A,B,..    bytes of a datagram; default 64,1200
  --loads A,B       plain | gso; default both
  --datagrams N     of a turn; default 200000
  --rounds N        how often each server has its turn; default 9
  --time-only       without callgrind and strace";

/// Before every turn: caches and branch predictors meet the server again.
const WARMUP: u64 = 5_000;
/// Datagrams under way, of single ones and of those in messages.
const IN_FLIGHT: (u64, u64) = (64, 256);
/// The datagrams by which the counted runs differ.
const COUNTED: u64 = 20_000;

/// What to measure.
struct Plan {
    servers: Vec<udp::Server>,
    sizes: Vec<usize>,
    loads: Vec<bool>,
    datagrams: u64,
    rounds: usize,
    time_only: bool,
}

/// Measures by the arguments of a command line, and prints a table for each load and size.
pub(super) fn main(parser: lexopt::Parser) -> Result<(), Error> {
    let Some(plan) = read_plan(parser)? else {
        println!("{HELP}");
        return Ok(());
    };
    for &gso in &plan.loads {
        for &size in &plan.sizes {
            Cell { size, gso }.measure(&plan)?;
        }
    }
    Ok(())
}

/// None when the arguments ask for help.
fn read_plan(mut parser: lexopt::Parser) -> Result<Option<Plan>, Error> {
    let mut plan = Plan {
        servers: udp::Server::ALL.to_vec(),
        sizes: vec![64, 1200],
        loads: vec![false, true],
        datagrams: 200_000,
        rounds: 9,
        time_only: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("servers") => plan.servers = list(&parser.value()?.string()?, str::parse)?,
            Long("sizes") => plan.sizes = list(&parser.value()?.string()?, |it| Ok(it.parse()?))?,
            Long("loads") => plan.loads = list(&parser.value()?.string()?, is_gso)?,
            Long("datagrams") => plan.datagrams = parser.value()?.parse()?,
            Long("rounds") => plan.rounds = parser.value()?.parse()?,
            Long("time-only") => plan.time_only = true,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    if plan.rounds == 0 || plan.datagrams < 1_000 {
        return Err(failure("--rounds from 1, --datagrams from 1000"));
    }
    Ok(Some(plan))
}

/// The values of a list of names.
fn list<T>(names: &str, parse: impl Fn(&str) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    names.split(',').map(parse).collect()
}

/// Whether a load of this name sends messages of several datagrams.
fn is_gso(name: &str) -> Result<bool, Error> {
    match name {
        "plain" => Ok(false),
        "gso" => Ok(true),
        other => Err(failure(format!("no load {other:?}: plain or gso"))),
    }
}

/// A load.
#[derive(Clone, Copy)]
struct Cell {
    size: usize,
    gso: bool,
}

/// One server and what its turns took.
struct Contender {
    server: Server,
    name: &'static str,
    /// CPU nanoseconds, a round each.
    rounds: Vec<u64>,
}

impl Cell {
    /// Measures all servers, and prints a table.
    fn measure(self, plan: &Plan) -> Result<(), Error> {
        let start = |server: &udp::Server| {
            let (name, server) = (server.name(), start_server(&[], *server)?);
            Ok(Contender { server, name, rounds: Vec::new() })
        };
        let mut contenders: Vec<Contender> =
            plan.servers.iter().map(start).collect::<Result<_, Error>>()?;
        for _ in 0..plan.rounds {
            for contender in &mut contenders {
                contender.turn(self, plan.datagrams)?;
            }
        }
        let kind = if self.gso { "in messages of up to 64" } else { "single" };
        println!("\nDatagrams of {} bytes, sent {kind}:\n", self.size);
        let heading =
            ["server", "a CPU second", "ratio", "lowest", "highest", "instructions", "calls"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (contender, server) in contenders.iter().zip(&plan.servers) {
            let mut cells = contender.figures(&contenders[0], plan.datagrams);
            cells.extend(if plan.time_only { Vec::new() } else { self.count(*server)? });
            rows.push(table::row(contender.name, cells));
        }
        table::print_markdown(&rows);
        contenders.into_iter().try_for_each(|contender| contender.server.stop())
    }

    /// The user instructions and the system calls of a datagram.
    fn count(self, server: udp::Server) -> Result<Vec<String>, Error> {
        let runs = TwoRuns::of(COUNTED);
        let instructions = |datagrams| {
            instructions::of_a_server(
                |words| start_server(words, server),
                |addr| self.start_load(addr, datagrams)?.ask_all(),
            )
        };
        let calls = |datagrams| -> Result<u64, Error> {
            let counts = syscalls::of_a_server(
                |words| start_server(words, server),
                |addr| self.start_load(addr, datagrams)?.ask_all(),
            )?;
            Ok(counts.values().sum())
        };
        let share = runs.per_request(instructions(runs.few)?, instructions(runs.many)?);
        let calls = runs.per_request(calls(runs.few)?, calls(runs.many)?);
        Ok(vec![format!("{share:.1}"), format!("{calls:.3}")])
    }

    /// Starts the load, and waits until it has done the warm-up.
    fn start_load(self, addr: std::net::SocketAddr, datagrams: u64) -> Result<Load, Error> {
        let in_flight = if self.gso { IN_FLIGHT.1 } else { IN_FLIGHT.0 };
        let mut load = command(&[])?;
        load.args(["udp-load", "--addr", &addr.to_string(), "--size", &self.size.to_string()]);
        load.args(["--requests", &datagrams.to_string(), "--warmup", &WARMUP.to_string()]);
        load.args(["--in-flight", &in_flight.to_string()]);
        load.args(self.gso.then_some("--gso"));
        Load::launch(load)
    }
}

/// Starts a server behind the words of `wrapper`, and waits until it is bound.
fn start_server(wrapper: &[String], server: udp::Server) -> Result<Server, Error> {
    let mut program = command(wrapper)?;
    program.args(["udp-server", "--server", server.name()]);
    Server::launch(program, server.name())
}

impl Contender {
    /// One round.
    fn turn(&mut self, cell: Cell, datagrams: u64) -> Result<(), Error> {
        let mut load = cell.start_load(self.server.addr, datagrams)?;
        let before = self.server.cpu_nanoseconds()?;
        load.ask()?;
        self.rounds.push(self.server.cpu_nanoseconds()? - before);
        load.end()
    }

    /// Datagrams a CPU second, and the ratio to `first`: its median, the lowest and the highest.
    fn figures(&self, first: &Contender, datagrams: u64) -> Vec<String> {
        let pairs = self.rounds.iter().zip(&first.rounds);
        let ratios = sorted(pairs.map(|(own, base)| *base as f64 / *own as f64));
        let times = sorted(self.rounds.iter().map(|&nanoseconds| nanoseconds as f64));
        let rate = datagrams as f64 * 1e9 / times[times.len() / 2];
        let ratios = [ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1]];
        let ratios = ratios.map(|ratio| format!("{ratio:.2}"));
        [format!("{:.0} k", rate / 1e3)].into_iter().chain(ratios).collect()
    }
}

/// The values in their order.
fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
