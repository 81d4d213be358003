//! The proxies: one file each. All listen, connect to the upstream for each connection, and pass
//! on what either side sends until both have ended.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::str::FromStr;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::peers::announce;
use crate::sys;

#[cfg(feature = "corepoll")]
mod corepoll;
mod tokio;

/// The proxies that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// tokio's `copy_bidirectional`.
    Tokio,
    /// corepoll's `io::relay`: splice(2).
    #[cfg(feature = "corepoll")]
    CorepollRelay,
    /// corepoll by tasks that copy through the poller's read buffer.
    #[cfg(feature = "corepoll")]
    CorepollCopy,
}

impl Proxy {
    /// All that this build has; the first is what the others are held against.
    pub const ALL: &[Proxy] = &[
        Proxy::Tokio,
        #[cfg(feature = "corepoll")]
        Proxy::CorepollRelay,
        #[cfg(feature = "corepoll")]
        Proxy::CorepollCopy,
    ];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            Proxy::Tokio => "tokio",
            #[cfg(feature = "corepoll")]
            Proxy::CorepollRelay => "corepoll-relay",
            #[cfg(feature = "corepoll")]
            Proxy::CorepollCopy => "corepoll-copy",
        }
    }
}

impl FromStr for Proxy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Proxy, Error> {
        let found = Proxy::ALL.iter().copied().find(|proxy| proxy.name() == name);
        found.ok_or_else(|| failure(format!("no proxy {name:?} in this build")))
    }
}

/// What each proxy is given.
#[derive(Debug)]
struct Task {
    /// Takes the connections; non-blocking.
    listener: TcpListener,
    /// Where they go.
    upstream: SocketAddr,
    /// Becomes readable when the proxy shall end.
    stop: &'static UnixStream,
}

const HELP: &str = "\
proxy --proxy PROXY --upstream ADDR [options]
  --proxy NAME      tokio | corepoll-relay | corepoll-copy
  --cpu N           keep the process on one CPU
Prints the address that it listens on and its process id.";

/// Proxies by the arguments of a command line, until SIGINT or SIGTERM.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let (mut proxy, mut upstream) = (None::<Proxy>, None::<SocketAddr>);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("proxy") => proxy = Some(parser.value()?.parse()?),
            Long("upstream") => upstream = Some(parser.value()?.parse()?),
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(proxy), Some(upstream)) = (proxy, upstream) else {
        return Err(failure("--proxy or --upstream is missing; see --help"));
    };
    let stop = sys::stop_signal()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?)?;
    run(proxy, Task { listener, upstream, stop })?;
    Ok(())
}

fn run(proxy: Proxy, task: Task) -> io::Result<()> {
    match proxy {
        Proxy::Tokio => tokio::run(task),
        #[cfg(feature = "corepoll")]
        Proxy::CorepollRelay => corepoll::run(task, corepoll::relay),
        #[cfg(feature = "corepoll")]
        Proxy::CorepollCopy => corepoll::run(task, corepoll::copy),
    }
}
