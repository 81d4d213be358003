//! The program that measures: it runs servers and loads, and prints a table for each question.
//!
//! Each question is a file, with what is measured and how to read it at its head.

use std::time::Duration;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::peers::Peer;
use crate::protocol::Kind;

use process::Work;

mod compare;
mod cpu;
#[cfg(feature = "ecosystem")]
mod ecosystem;
mod fanout;
mod idle;
mod instructions;
mod process;
mod relay;
mod sampler;
mod scale;
mod syscalls;
mod table;
#[cfg(feature = "udp")]
mod udp;

const HELP: &str = "\
versus QUESTION [options]
  compare           all cells on all servers, with tables and charts; see versus compare --help
  syscalls          system calls a request, by name (needs strace)
  instructions      user instructions a request (needs valgrind)
  cpu               user CPU time a request, and its ratio to the first peer (better with perf)
  idle              resident bytes an idle connection
  fanout            CPU time of one message to many connections, for each of them
  relay             CPU time a byte of a proxy: splice, and copies
  scale             a million idle connections, or as many as the limits allow: memory, also the
                    kernel's, accepts a second, a request on a random one
  ecosystem         hyper, axum and TLS on corepoll beside tokio (needs strace and valgrind,
                    and a build with --features ecosystem)
  udp               echo of datagrams, one by one, in batches and by segments; see versus udp --help
                    (needs strace and valgrind, and a build with --features udp)
options
  --peers A,B,..    default by the question; the first is what the others are held against
  --protocol NAME   plaintext | echo; default echo for instructions, else plaintext
  --connections N   default 10000 for idle, 1000 for fanout, 1000000 for scale, else 64
  --pipeline N      requests sent at once on a connection; default 1
  --churn           a connection for each of these, by syscalls, instructions and cpu
  --size BYTES      of an echo request, of a message; default 64
  --requests N      measured a run, messages for fanout; default by the question
  --rounds N        of cpu, fanout and relay: how often each peer has its turn; default 9
  --bytes N         of relay: how many go each way in a turn; default 1 GiB
  --seconds N       of scale: how long a server's connections may take to open; default 300
  --ticks           of cpu: take the times from /proc even if there is perf
  --kinds A,B,..    of ecosystem: h1 | h1-timer | h1-served | h2 | axum | tls | tls-handler; default
                    all
also
  versus server ..  the server of this build, versus load ..  its load, versus room ..  its fan-out,
                    versus proxy ..  its proxies, versus crowd ..  the clients of scale,
                    versus timers .. and versus across ..  what a library does by itself,
                    versus web ..  the servers of ecosystem, and versus h2-load ..  a load of theirs;
                    see their --help";

/// How long a server may take to come up and to go down; under valgrind this is seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to measure, with which peers and which load. None: the question's own default.
#[derive(Debug)]
struct Plan {
    peers: Option<Vec<Peer>>,
    protocol: Option<Kind>,
    connections: Option<usize>,
    pipeline: u64,
    churn: bool,
    size: usize,
    requests: Option<u64>,
    rounds: usize,
    bytes: u64,
    seconds: u64,
    ticks: bool,
    /// Names, since a build may have no ecosystem.
    kinds: Option<Vec<String>>,
}

impl Plan {
    /// The load of a question, with the question's own defaults where the command line says nothing.
    fn work(&self, protocol: Kind, connections: usize) -> Work {
        Work {
            protocol: self.protocol.unwrap_or(protocol),
            connections: self.connections.unwrap_or(connections),
            pipeline: self.pipeline,
            churn: self.churn,
            size: self.size,
            warmup: 0,
            requests: 0,
        }
    }

    /// What a figure is the share of.
    fn unit(&self) -> &'static str {
        if self.churn { "a connection" } else { "a request" }
    }

    /// The peers that the command line names, else those that have something to say on a question.
    fn peers(&self, by_default: impl Fn(Peer) -> bool) -> Vec<Peer> {
        let usual = || Peer::ALL.iter().copied().filter(|&peer| by_default(peer)).collect();
        self.peers.clone().unwrap_or_else(usual)
    }
}

/// Measures by the arguments of a command line.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let question = match parser.next()? {
        Some(Value(name)) => name.string()?,
        Some(Long("help")) | None => {
            println!("{HELP}");
            return Ok(());
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    let measure = match question.as_str() {
        // The driver starts itself in these roles, so that what it measures is always of its own
        // build: a server beside it might be an older one.
        "server" => return crate::server::main(parser),
        "crowd" => return crate::crowd::main(parser),
        "load" => return crate::load::main(parser),
        "room" => return crate::fanout::main(parser),
        "proxy" => return crate::proxies::main(parser),
        #[cfg(feature = "timers")]
        "timers" => return crate::timers::main(parser),
        "across" => return crate::across::main(parser),
        #[cfg(feature = "ecosystem")]
        "web" => return crate::ecosystem::main(parser),
        #[cfg(feature = "ecosystem")]
        "h2-load" => return crate::ecosystem::load::main(parser),
        "compare" => return compare::main(parser),
        #[cfg(feature = "udp")]
        "udp" => return udp::main(parser),
        #[cfg(feature = "udp")]
        "udp-server" => return crate::udp::main(parser),
        #[cfg(feature = "udp")]
        "udp-load" => return crate::udp::load::main(parser),
        "syscalls" => syscalls::measure,
        "instructions" => instructions::measure,
        "cpu" => cpu::measure,
        "idle" => idle::measure,
        "fanout" => fanout::measure,
        "relay" => relay::measure,
        "scale" => scale::measure,
        #[cfg(feature = "ecosystem")]
        "ecosystem" => ecosystem::measure,
        other => return Err(failure(format!("no question {other:?}; see --help"))),
    };
    match read_plan(parser)? {
        Some(plan) => measure(&plan),
        None => {
            println!("{HELP}");
            Ok(())
        }
    }
}

/// What the options ask for; None: for help.
fn read_plan(mut parser: lexopt::Parser) -> Result<Option<Plan>, Error> {
    let mut plan = Plan {
        peers: None,
        protocol: None,
        connections: None,
        pipeline: 1,
        churn: false,
        size: 64,
        requests: None,
        rounds: 9,
        bytes: 1 << 30,
        seconds: 300,
        ticks: false,
        kinds: None,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("peers") => {
                let names = parser.value()?.string()?;
                plan.peers = Some(names.split(',').map(str::parse).collect::<Result<_, _>>()?);
            }
            Long("kinds") => {
                let names = parser.value()?.string()?;
                plan.kinds = Some(names.split(',').map(str::to_owned).collect());
            }
            Long("protocol") => plan.protocol = Some(parser.value()?.parse()?),
            Long("connections") => plan.connections = Some(parser.value()?.parse()?),
            Long("pipeline") => plan.pipeline = parser.value()?.parse()?,
            Long("size") => plan.size = parser.value()?.parse()?,
            Long("requests") => plan.requests = Some(parser.value()?.parse()?),
            Long("bytes") => plan.bytes = parser.value()?.parse()?,
            Long("seconds") => plan.seconds = parser.value()?.parse()?,
            Long("churn") => plan.churn = true,
            Long("ticks") => plan.ticks = true,
            Long("help") => return Ok(None),
            Long("rounds") => plan.rounds = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if plan.rounds == 0 || plan.requests.is_some_and(|n| n < FEWEST) {
        return Err(failure(format!("--rounds from 1, --requests from {FEWEST}")));
    }
    Ok(Some(plan))
}

/// Below this a division by the number of requests says little.
const FEWEST: u64 = 100;
