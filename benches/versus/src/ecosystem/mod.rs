//! Servers by the crates that run on both: hyper, axum and rustls on corepoll, and the same on tokio.
//!
//! Both sides run the same service with the same settings of the crate, so that they differ in what
//! carries the bytes, wakes the tasks and keeps the time.

use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::peers::Options;
use crate::sys;

mod corepoll;
pub mod load;
mod service;
pub mod tls;
mod tokio;

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// hyper's HTTP/1 server.
    H1,
    /// The same with a timer, by which hyper limits how long the head of a request may take.
    H1Timer,
    /// HTTP/1 as `corepoll_hyper::serve` serves it by its defaults, and the same limits on tokio.
    H1Served,
    /// hyper's HTTP/2 server.
    H2,
    /// A Router of axum on hyper's HTTP/1 server.
    Axum,
    /// An echo over TLS, by tasks.
    Tls,
    /// The same by handlers on corepoll; by tasks on tokio, which has no handlers.
    TlsHandler,
}

impl Kind {
    /// All of them, in the order of the table.
    pub const ALL: &[Kind] = &[
        Kind::H1,
        Kind::H1Timer,
        Kind::H1Served,
        Kind::H2,
        Kind::Axum,
        Kind::Tls,
        Kind::TlsHandler,
    ];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::H1 => "h1",
            Kind::H1Timer => "h1-timer",
            Kind::H1Served => "h1-served",
            Kind::H2 => "h2",
            Kind::Axum => "axum",
            Kind::Tls => "tls",
            Kind::TlsHandler => "tls-handler",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Kind, Error> {
        let found = Kind::ALL.iter().copied().find(|kind| kind.name() == name);
        found.ok_or_else(|| failure(format!("no kind {name:?}; see --help")))
    }
}

/// What it is served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// A reactor with one poller.
    Corepoll,
    /// tokio's current-thread runtime.
    Tokio,
}

impl Runtime {
    /// Both of them.
    pub const ALL: &[Runtime] = &[Runtime::Corepoll, Runtime::Tokio];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Corepoll => "corepoll",
            Runtime::Tokio => "tokio",
        }
    }
}

impl FromStr for Runtime {
    type Err = Error;

    fn from_str(name: &str) -> Result<Runtime, Error> {
        let found = Runtime::ALL.iter().copied().find(|runtime| runtime.name() == name);
        found.ok_or_else(|| failure(format!("no runtime {name:?}: corepoll or tokio")))
    }
}

const HELP: &str = "\
web --kind KIND --runtime RUNTIME [options]
  --kind NAME       h1 | h1-timer | h1-served | h2 | axum | tls | tls-handler
  --runtime NAME    corepoll | tokio
  --addr ADDR       default 127.0.0.1:0
  --cpu N           keep the process on one CPU
  --slowed N        the process runs N times slower than usual, as under valgrind
Prints the address that it listens on and its process id.";

/// Serves by the arguments of a command line, until SIGINT or SIGTERM.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let (mut kind, mut runtime) = (None::<Kind>, None::<Runtime>);
    let mut addr: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut slowed = 1;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("kind") => kind = Some(parser.value()?.parse()?),
            Long("runtime") => runtime = Some(parser.value()?.parse()?),
            Long("addr") => addr = parser.value()?.parse()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("slowed") => slowed = parser.value()?.parse()?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(kind), Some(runtime)) = (kind, runtime) else {
        return Err(failure("--kind or --runtime is missing; see --help"));
    };
    sys::raise_descriptor_limit()?;
    let options = Options { addr, threads: 1, stop: sys::stop_signal()? };
    match runtime {
        Runtime::Corepoll => corepoll::run(kind, &options, slowed),
        // On a thread of its own, where the loops of a process that has several of them run: glibc's
        // recv, writev and malloc take a longer path there.
        Runtime::Tokio => thread::scope(|scope| {
            scope.spawn(|| tokio::run(kind, &options)).join().expect("the loop panicked")
        }),
    }
}
