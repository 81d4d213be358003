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
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::args::{Error, failure};
use crate::protocol::{Echo, Kind, Plaintext, Protocol};

mod bare;
#[cfg(feature = "corepoll")]
mod corepoll_handler;
#[cfg(feature = "corepoll")]
mod corepoll_read;
#[cfg(feature = "corepoll")]
mod corepoll_task;
#[cfg(feature = "mio")]
mod mio;
#[cfg(feature = "smol")]
mod smol;
pub(crate) mod tokio;
#[cfg(feature = "tokio-multi")]
mod tokio_multi;
mod tokio_shared;

/// Connections that may wait to be accepted: the kernel's own default limit (somaxconn).
pub const BACKLOG: i32 = 4096;

/// Defines [`Peer`] from a row for each server: its name, and the function that serves.
macro_rules! peers {
    ($($(#[doc = $doc:expr])* $(#[cfg($cfg:meta)])? $variant:ident = $name:literal, $run:expr;)*) => {
        /// The servers that can be compared.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Peer {
            $($(#[doc = $doc])* $(#[cfg($cfg)])? $variant,)*
        }

        impl Peer {
            /// All that this build has, in the order of the tables; the first is what others are held against.
            pub const ALL: &[Peer] = &[$($(#[cfg($cfg)])? Peer::$variant,)*];

            /// The name by which command lines and tables know it.
            pub fn name(self) -> &'static str {
                match self {
                    $($(#[cfg($cfg)])? Peer::$variant => $name,)*
                }
            }
        }

        fn run_with<P: Protocol>(peer: Peer, options: &Options) -> io::Result<()> {
            match peer {
                $($(#[cfg($cfg)])? Peer::$variant => $run(options),)*
            }
        }
    };
}

peers! {
    /// A hand-written epoll loop: the practical limit.
    Bare = "bare", bare::run::<P>;
    /// The same loop on a thread that is not the only one of its process: what glibc then adds.
    BareThreaded = "bare-threaded", bare::run_threaded::<P>;
    /// corepoll by callbacks.
    #[cfg(feature = "corepoll")]
    CorepollHandler = "corepoll-handler", corepoll_handler::run::<P>;
    /// corepoll by tasks that wait in `read_chunk`.
    #[cfg(feature = "corepoll")]
    CorepollTask = "corepoll-task", corepoll_task::run::<P>;
    /// corepoll by tasks that read by `AsyncRead` into a buffer of their own.
    #[cfg(feature = "corepoll")]
    CorepollRead = "corepoll-read", corepoll_read::run::<P>;
    /// A loop by hand on mio.
    #[cfg(feature = "mio")]
    Mio = "mio", mio::run::<P>;
    /// tokio with a buffer for each connection, as its tutorial has it.
    Tokio = "tokio", tokio::run::<P>;
    /// tokio with a buffer for each thread, used by the connection that has bytes to read.
    TokioShared = "tokio-shared", tokio_shared::run::<P>;
    /// The tasks of `tokio` on one runtime, whose threads take work from each other.
    #[cfg(feature = "tokio-multi")]
    TokioMulti = "tokio-multi", tokio_multi::run::<P>;
    /// smol: one executor that all threads run.
    #[cfg(feature = "smol")]
    Smol = "smol", smol::run::<P>;
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

/// Prints the two lines that a program which starts the server waits for. One write for both: a
/// program that needs only the first may have closed the pipe before a second.
pub(crate) fn announce(addr: SocketAddr) -> io::Result<()> {
    let lines = format!("{addr}\n{}\n", std::process::id());
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

/// Runs `serve` on each thread, with a listener of its own and with what `make` makes there.
///
/// The first loop runs on the thread that called: with one loop the process has one thread, and
/// glibc's recv and send skip what makes them cancellation points (about 48 instructions each).
///
/// # Errors
///
/// An error of `make` on any thread is returned before the address is announced.
fn on_each_thread<L>(
    options: &Options,
    make: impl Fn() -> io::Result<L> + Sync,
    serve: impl Fn(L, TcpListener) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let (first, addr) = listen(options.addr)?;
    let others: Vec<_> = (1..options.threads).map(|_| listen(addr)).collect::<Result<_, _>>()?;
    let all_made = Barrier::new(options.threads);
    let failed = AtomicBool::new(false);
    // Returns None if another thread has failed, whose error is the one to tell.
    let make_with_all = || {
        let made = make();
        failed.fetch_or(made.is_err(), Ordering::Relaxed);
        all_made.wait();
        let failed = failed.load(Ordering::Relaxed);
        made.map(|made| (!failed).then_some(made))
    };
    let serve_if_made = |made, listener| match made {
        Some(made) => serve(made, listener),
        None => Ok(()),
    };
    thread::scope(|scope| {
        let (make_with_all, serve_if_made) = (&make_with_all, &serve_if_made);
        let start = |(listener, _)| scope.spawn(move || serve_if_made(make_with_all()?, listener));
        let threads: Vec<_> = others.into_iter().map(start).collect();
        let made = make_with_all();
        if let Ok(Some(_)) = made {
            announce(addr)?;
        }
        let mut ended = vec![made.and_then(|made| serve_if_made(made, first))];
        ended.extend(threads.into_iter().map(|thread| thread.join().expect("a loop panicked")));
        ended.into_iter().collect()
    })
}

/// Returns a listener of which a port may have several, and its address: the kernel spreads
/// connections over them.
fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}
