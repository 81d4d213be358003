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
use std::sync::{RwLock, mpsc};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::args::{Error, failure};
use crate::protocol::{Echo, Kind, Mixed, Plaintext, Protocol};

mod bare;
#[cfg(feature = "compio")]
mod compio;
#[cfg(feature = "corepoll")]
mod corepoll_handler;
#[cfg(feature = "corepoll")]
mod corepoll_read;
#[cfg(feature = "corepoll")]
mod corepoll_task;
#[cfg(feature = "glommio")]
mod glommio;
#[cfg(feature = "may")]
mod may;
#[cfg(feature = "mio")]
mod mio;
#[cfg(feature = "monoio")]
mod monoio;
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
    /// monoio by epoll.
    #[cfg(feature = "monoio")]
    Monoio = "monoio", monoio::run::<P>;
    /// monoio by io_uring.
    #[cfg(feature = "monoio")]
    MonoioUring = "monoio-uring", monoio::run_uring::<P>;
    /// compio by io_uring.
    #[cfg(feature = "compio")]
    Compio = "compio", compio::run::<P>;
    /// glommio, which has io_uring only.
    #[cfg(feature = "glommio")]
    Glommio = "glommio", glommio::run::<P>;
    /// may: coroutines with stacks.
    #[cfg(feature = "may")]
    May = "may", may::run::<P>;
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
        Kind::Mixed => run_with::<Mixed>(peer, options),
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
/// Returns an error of `make` on any thread before the address is announced.
fn on_each_thread<L>(
    options: &Options,
    make: impl Fn() -> io::Result<L> + Sync,
    serve: impl Fn(L, TcpListener) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let (first, addr) = listen(options.addr)?;
    let others: Vec<_> = (1..options.threads).map(|_| listen(addr)).collect::<Result<_, _>>()?;
    let (tell, told) = mpsc::channel();
    // Whether to serve. The other threads can read it once all have made what they need.
    let go = RwLock::new(false);
    thread::scope(|scope| {
        let mut deciding = go.write().expect("no thread reads it yet");
        let (make, serve, go) = (&make, &serve, &go);
        let start = |(listener, _)| {
            let tell = tell.clone();
            scope.spawn(move || {
                let made = make();
                let _ = tell.send(made.is_ok());
                // A thread that panics in `make` tells nothing, and the channel ends without it.
                drop(tell);
                let made = made?;
                if go.read().is_ok_and(|go| *go) { serve(made, listener) } else { Ok(()) }
            })
        };
        let threads: Vec<_> = others.into_iter().map(start).collect();
        drop(tell);
        let begin = || {
            let made = make()?;
            if told.iter().filter(|&ok| ok).count() < threads.len() {
                return Err(io::Error::other("another thread has failed"));
            }
            announce(addr)?;
            Ok(made)
        };
        let begun = begin();
        *deciding = begun.is_ok();
        drop(deciding);
        let own = begun.and_then(|made| serve(made, first));
        // The error of another thread comes first: it may be the one that this thread only repeats.
        let ended = threads.into_iter().map(|thread| thread.join().expect("a loop panicked"));
        ended.collect::<Vec<_>>().into_iter().chain([own]).collect()
    })
}

/// Says what is missing when a runtime by io_uring cannot be made.
#[cfg(any(feature = "compio", feature = "glommio", feature = "monoio"))]
fn io_uring_failed(error: io::Error) -> io::Error {
    let hint = "this peer needs io_uring, which the kernel or its limits may refuse \
        (kernel.io_uring_disabled, seccomp, ulimit -l)";
    io::Error::new(error.kind(), format!("{error}: {hint}"))
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

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    /// Runs two threads of which the other makes nothing, and which serve nothing.
    fn run_where_another_thread_makes(other: impl Fn() -> io::Result<()> + Sync) -> io::Result<()> {
        let stop = Box::leak(Box::new(UnixStream::pair().unwrap().0));
        let options = Options { addr: ([127, 0, 0, 1], 0).into(), threads: 2, stop };
        let this: ThreadId = thread::current().id();
        let make = || if thread::current().id() == this { Ok(()) } else { other() };
        on_each_thread(&options, make, |(), _| panic!("a thread serves"))
    }

    #[test]
    fn an_error_of_another_thread_is_returned_and_no_thread_serves() {
        let error =
            run_where_another_thread_makes(|| Err(io::Error::other("no room"))).unwrap_err();
        assert_eq!(error.to_string(), "no room");
    }

    #[test]
    #[should_panic = "a loop panicked"]
    fn a_panic_of_another_thread_leaves_no_thread_waiting() {
        let _ = run_where_another_thread_makes(|| panic!("no room"));
    }
}
