//! The program that answers: one peer, one protocol, until SIGINT or SIGTERM.

use std::net::SocketAddr;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::peers::{self, Peer};
use crate::protocol::Kind;
use crate::sys;

const HELP: &str = "\
server --peer PEER [options]
  --peer NAME       one of the servers of this build, named below
  --protocol NAME   plaintext (default) | echo | mixed
  --threads N       default 1
  --addr ADDR       default 127.0.0.1:0
  --cpu N           keep the process on one CPU
The first line printed is the address that it listens on, the second is its process id
(the parent of a server under strace knows only that of strace).
This build's peers are";

/// Serves by the arguments of a command line.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let mut peer: Option<Peer> = None;
    let mut protocol = Kind::Plaintext;
    let mut threads = 1;
    let mut addr: SocketAddr = ([127, 0, 0, 1], 0).into();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("peer") => peer = Some(parser.value()?.parse()?),
            Long("protocol") => protocol = parser.value()?.parse()?,
            Long("threads") => threads = parser.value()?.parse()?,
            Long("addr") => addr = parser.value()?.parse()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => {
                let names: Vec<_> = Peer::ALL.iter().map(|peer| peer.name()).collect();
                println!("{HELP} {}.", names.join(", "));
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let peer = peer.ok_or_else(|| failure("--peer is missing; see --help"))?;
    if threads == 0 {
        return Err(failure("--threads must be at least 1"));
    }
    sys::raise_descriptor_limit()?;
    let stop = sys::stop_signal()?;
    peers::run(peer, protocol, &peers::Options { addr, threads, stop })?;
    Ok(())
}
