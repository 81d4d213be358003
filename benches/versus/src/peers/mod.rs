//! The servers: one file each, all with the same [`Options`] and the same [`Protocol`].
//!
//! What holds for all of them, so that none is measured for a choice of its own: reads of at most
//! [`READ_BUFFER`](crate::protocol::READ_BUFFER) bytes, one send for each read, a backlog of
//! [`BACKLOG`], and no TCP_NODELAY. An answer is one send, and a load that waits for it leaves
//! nothing unacknowledged that Nagle's algorithm could hold it for.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::args::{Error, failure};
use crate::protocol::{Echo, Kind, Plaintext, Protocol};

mod bare;
#[cfg(feature = "corepoll")]
mod corepoll_handler;
#[cfg(feature = "corepoll")]
mod corepoll_task;
pub(crate) mod tokio;
mod tokio_shared;

/// Connections that may wait to be accepted: the kernel's own default limit (somaxconn).
pub const BACKLOG: i32 = 4096;

/// The servers that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A hand-written epoll loop: the practical limit.
    Bare,
    /// The same loop on a thread that is not the only one of its process: what glibc then adds.
    BareThreaded,
    /// tokio with a buffer for each connection, as its tutorial has it.
    Tokio,
    /// tokio with a buffer for each thread, used by the connection that has bytes to read.
    TokioShared,
    /// corepoll by callbacks.
    #[cfg(feature = "corepoll")]
    CorepollHandler,
    /// corepoll by tasks that wait in `read_chunk`.
    #[cfg(feature = "corepoll")]
    CorepollTask,
}

impl Peer {
    /// All that this build has, in the order of the tables; the first is what others are held against.
    pub const ALL: &[Peer] = &[
        Peer::Bare,
        Peer::BareThreaded,
        #[cfg(feature = "corepoll")]
        Peer::CorepollHandler,
        #[cfg(feature = "corepoll")]
        Peer::CorepollTask,
        Peer::Tokio,
        Peer::TokioShared,
    ];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Bare => "bare",
            Peer::BareThreaded => "bare-threaded",
            Peer::Tokio => "tokio",
            Peer::TokioShared => "tokio-shared",
            #[cfg(feature = "corepoll")]
            Peer::CorepollHandler => "corepoll-handler",
            #[cfg(feature = "corepoll")]
            Peer::CorepollTask => "corepoll-task",
        }
    }
}

impl FromStr for Peer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Peer, Error> {
        let known = || Peer::ALL.iter().map(|peer| peer.name()).collect::<Vec<_>>().join(", ");
        Peer::ALL
            .iter()
            .copied()
            .find(|peer| peer.name() == name)
            .ok_or_else(|| failure(format!("no peer {name:?} in this build: {}", known())))
    }
}

/// What each server is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where to listen; port 0 leaves the choice to the kernel.
    pub addr: SocketAddr,
    /// How many loops.
    pub threads: usize,
    /// Becomes readable when the server shall end.
    pub stop: &'static UnixStream,
}

/// Serves until `options.stop` is readable.
pub fn run(peer: Peer, protocol: Kind, options: &Options) -> io::Result<()> {
    match protocol {
        Kind::Plaintext => run_with::<Plaintext>(peer, options),
        Kind::Echo => run_with::<Echo>(peer, options),
    }
}

fn run_with<P: Protocol>(peer: Peer, options: &Options) -> io::Result<()> {
    match peer {
        Peer::Bare => bare::run::<P>(options),
        Peer::BareThreaded => {
            let run = || bare::run::<P>(options);
            thread::scope(|scope| scope.spawn(run).join().expect("the loop panicked"))
        }
        Peer::Tokio => tokio::run::<P>(options),
        Peer::TokioShared => tokio_shared::run::<P>(options),
        #[cfg(feature = "corepoll")]
        Peer::CorepollHandler => corepoll_handler::run::<P>(options),
        #[cfg(feature = "corepoll")]
        Peer::CorepollTask => corepoll_task::run::<P>(options),
    }
}

/// Prints the two lines that a program which starts the server waits for. One write for both: a
/// program that needs only the first may have closed the pipe before a second.
pub(crate) fn announce(addr: SocketAddr) -> io::Result<()> {
    let lines = format!("{addr}\n{}\n", std::process::id());
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

/// Runs `serve` with a listener of its own on each thread.
///
/// The first loop runs on the thread that called: with one loop the process has one thread, and
/// glibc's recv and send skip what makes them cancellation points (about 48 instructions each).
fn on_each_thread<F>(options: &Options, serve: F) -> io::Result<()>
where
    F: Fn(TcpListener) -> io::Result<()> + Sync,
{
    let first = listen(options.addr)?;
    let addr = first.local_addr()?;
    let others: Vec<_> = (1..options.threads).map(|_| listen(addr)).collect::<Result<_, _>>()?;
    announce(addr)?;
    thread::scope(|scope| {
        let serve = &serve;
        let threads: Vec<_> =
            others.into_iter().map(|listener| scope.spawn(move || serve(listener))).collect();
        let mut ended = vec![serve(first)];
        ended.extend(threads.into_iter().map(|thread| thread.join().expect("a loop panicked")));
        ended.into_iter().collect()
    })
}

/// A listener of which a port may have several: the kernel spreads connections over them.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
