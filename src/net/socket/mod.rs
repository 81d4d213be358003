//! What the sockets of `net` are made of: listeners, streams and sockets for datagrams alike.
//!
//! The files beside this one say what can be done with a [`Socket`]: how bytes go in and out of it
//! (`bytes`, `writing`, `read_chunk`), how datagrams do (`datagrams`), and how a stream comes apart (`split`,
//! `read_half`, `write_half`). The public types are made of these in `tcp`, `udp` and `unix`.
//!
//! | file | what it holds |
//! |---|---|
//! | `bytes` | reading a stream: polled, tried, and awaited; its end |
//! | `writing` | writing to a stream |
//! | `read_chunk` | reading into a buffer that the poller lends |
//! | `send_all` | writing all of some bytes |
//! | `datagrams` | sending and receiving datagrams |
//! | `byte_stream` | futures-io's traits, for every type that has a socket |
//! | `split`, `read_half`, `write_half` | the two directions of a stream, apart |
//! | `std_types` | from std's sockets and back, and descriptors |

pub(crate) mod byte_stream;
pub(crate) mod bytes;
pub(crate) mod datagrams;
pub(crate) mod read_chunk;
pub(crate) mod read_half;
pub(crate) mod send_all;
pub(crate) mod split;
pub(crate) mod std_types;
pub(crate) mod write_half;
pub(crate) mod writing;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use crate::base::error::during;
use crate::base::interest::Interest;
use crate::local::registered::Registered;
use crate::local::state::Local;
use crate::parts::readiness::{Direction, ReadySet};
use crate::sys::{socket, stream};

use crate::net::addr::Address;
use crate::sys::fd::OwnedFd;

/// A socket of this thread's poller.
pub(crate) struct Socket {
    /// The descriptor and its registration with the poller.
    pub(crate) registered: Registered,
}

impl Socket {
    /// Registers a non-blocking socket that corepoll has made, and that nothing else has a
    /// descriptor of. Errors name the operation `what`.
    pub(crate) fn new(fd: OwnedFd, what: &str) -> io::Result<Socket> {
        // Edge-triggered, for both directions, once: a socket of a task never calls epoll_ctl(2)
        // again.
        let registered = Registered::new(fd, Local::expect_current(what)?);
        Ok(Socket { registered: registered.map_err(|error| during(what, error))? })
    }

    /// Takes over a socket that was made elsewhere, blocking or not.
    pub(crate) fn from_std(
        socket: impl Into<std::os::fd::OwnedFd>,
        what: &str,
    ) -> io::Result<Socket> {
        let fd = OwnedFd::from(socket.into());
        socket::set_nonblocking(fd.as_fd())?;
        let socket = Socket::new(fd, what)?;
        // There may be other descriptors of the same socket, and epoll watches the socket until the
        // last one is closed. So this one is deregistered before it is closed.
        socket.lend();
        Ok(socket)
    }

    /// Registers both sockets of a pair that corepoll has made.
    pub(crate) fn pair(made: (OwnedFd, OwnedFd), what: &str) -> io::Result<(Socket, Socket)> {
        // If the second fails, the first is closed by its drop, and the pair is gone.
        Ok((Socket::new(made.0, what)?, Socket::new(made.1, what)?))
    }

    /// Counts the socket as one of the poller's connections, until it is dropped.
    pub(crate) fn mark_stream(self) -> Socket {
        Socket { registered: self.registered.mark_stream() }
    }

    /// Ends the registration, and returns the socket as a type of std. It stays non-blocking.
    pub(crate) fn into_std<S: From<std::os::fd::OwnedFd>>(self) -> io::Result<S> {
        Ok(self.try_into_fd()?.into_std()?.into())
    }

    /// Ends the registration. A TCP stream may still carry output of a handler, which is an error.
    pub(crate) fn try_into_fd(self) -> io::Result<OwnedFd> {
        self.registered.into_fd()
    }

    /// Ends the registration of a socket that carries no output of a handler: of any but a TCP
    /// stream.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.registered.into_fd().expect("only a TCP stream carries output of a handler")
    }

    /// Returns the descriptor, for system calls that keep nothing of it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.registered.fd()
    }

    /// Returns the descriptor, for code of the user: it may be duplicated there.
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.registered.expose()
    }

    /// Returns the address of this side: getsockname(2).
    pub(crate) fn local_addr<A: Address>(&self) -> io::Result<A> {
        A::from_kernel(&socket::local_name(self.fd())?)
    }

    /// Returns the address of the peer: getpeername(2).
    pub(crate) fn peer_addr<A: Address>(&self) -> io::Result<A> {
        A::from_kernel(&socket::peer_name(self.fd())?)
    }

    /// Waits until a read may succeed. Any number of tasks may wait.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.registered.ready(Direction::Read).await
    }

    /// Waits until a write may succeed. Any number of tasks may wait.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.registered.ready(Direction::Write).await
    }

    /// Polls whether a call in `direction` may succeed. One waker waits in each direction.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.registered.poll_known_ready(cx, direction)
    }

    /// Calls `operation` if the socket may be ready for one of the directions of `interest`.
    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.registered.try_io_for(ReadySet::from_interest(interest), operation)
    }

    /// Waits for a message or bytes, and copies them into `buf` without taking them. Any number of
    /// tasks may wait.
    pub(crate) async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        // A peek takes nothing, so the readiness stays, and the read that follows needs no event.
        self.registered.io(Direction::Read, |fd| stream::peek(fd, buf)).await
    }

    /// Formats the public type `name`, which is made of this socket.
    pub(crate) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name).field("fd", &self.fd()).finish_non_exhaustive()
    }
}
