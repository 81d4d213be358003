//! The program that sends one message to many connections, by one of the peers.
//!
//! A thread beside the peer's loop hands each message over, and the loop sends it, as in a chat, a
//! ticker or a pool of workers. All connections share one buffer for each message: nothing is copied.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use bytes::Bytes;
use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::peers::Peer;
use crate::sys;

mod bare;
#[cfg(feature = "corepoll")]
mod corepoll;
mod tokio;

const HELP: &str = "\
room --peer PEER [options]
  --peer NAME       bare | corepoll-handler | tokio
  --listeners N     default 1000
  --size BYTES      of a message; default 64
  --cpu N           keep the process on one CPU
The first line printed is the address that it listens on, the second is its process id, and a third
comes when all listeners are there. Each byte on stdin is one message to all; its end is the end.";

/// Says a message to all listeners.
type Say = Box<dyn FnMut(&Bytes) -> io::Result<()>>;

/// Whether a peer has a room.
pub fn has_room(peer: Peer) -> bool {
    match peer {
        Peer::Bare | Peer::Tokio => true,
        #[cfg(feature = "corepoll")]
        Peer::CorepollHandler => true,
        _ => false,
    }
}

/// Opens a room: tells `announce` where, and gives the way to talk to all when all are there.
fn open(
    peer: Peer,
    listeners: usize,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<Say> {
    match peer {
        Peer::Bare => bare::open(listeners, announce),
        Peer::Tokio => tokio::open(listeners, announce),
        #[cfg(feature = "corepoll")]
        Peer::CorepollHandler => corepoll::open(listeners, announce),
        other => Err(io::Error::other(format!("{} has no room", other.name()))),
    }
}

/// Says messages by the arguments of a command line.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let mut peer: Option<Peer> = None;
    let (mut listeners, mut size) = (1000, 64);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("peer") => peer = Some(parser.value()?.parse()?),
            Long("listeners") => listeners = parser.value()?.parse()?,
            Long("size") => size = parser.value()?.parse()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let peer = peer.ok_or_else(|| failure("--peer is missing; see --help"))?;
    sys::raise_descriptor_limit()?;
    let mut say = open(peer, listeners, |addr| tell(&format!("{addr}\n{}\n", std::process::id())))?;
    tell("all are there\n")?;
    let message = Bytes::from(vec![b'.'; size]);
    let mut stdin = io::stdin().lock();
    while stdin.read(&mut [0])? == 1 {
        say(&message)?;
    }
    Ok(())
}

fn tell(lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}
