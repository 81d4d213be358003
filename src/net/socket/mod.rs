//! What the sockets of `net` are made of: listeners, streams and sockets for datagrams alike.
//!
//! The files beside this one say what can be done with a [`Socket`]: how bytes go in and out of it
//! (`bytes`), how datagrams do (`datagrams`), and what the halves of a stream can do.

pub(crate) mod bytes;
pub(crate) mod datagrams;
pub(crate) mod read_chunk;
pub(crate) mod read_half;
pub(crate) mod split;
pub(crate) mod write_half;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::SockRef;

use crate::base::error::during;
use crate::local::registered::Registered;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::{socket, stream};

use crate::net::addr::Address;

/// A socket of this thread's poller. How it accepts is in `accepting`, how bytes go in and out in
/// `byte_stream`, and how datagrams do in `datagram`.
pub struct Socket {
    pub(crate) registered: Registered,
}

impl Socket {
    /// Wraps a non-blocking socket that is ours alone. `what` is named when there is no poller.
    pub(crate) fn new(fd: OwnedFd, what: &str) -> io::Result<Socket> {
        let registered = Registered::new(fd, Local::expect_current(what)?);
        Ok(Socket { registered: registered.map_err(|error| during(what, error))? })
    }

    /// Takes over a socket that others have made, blocking or not.
    pub(crate) fn from_std(socket: impl Into<OwnedFd>, what: &str) -> io::Result<Socket> {
        let fd = socket.into();
        socket::set_nonblocking(fd.as_fd())?;
        let socket = Socket::new(fd, what)?;
        // There may be other descriptors of the same socket.
        socket.lend();
        Ok(socket)
    }

    /// Takes over two sockets that have been made just now.
    pub(crate) fn pair<S: Into<OwnedFd>>(made: (S, S), what: &str) -> io::Result<(Socket, Socket)> {
        let take = |socket: S| {
            let fd = socket.into();
            socket::set_nonblocking(fd.as_fd())?;
            Socket::new(fd, what)
        };
        Ok((take(made.0)?, take(made.1)?))
    }

    /// It counts as one of the poller's connections.
    pub(crate) fn of_a_stream(self) -> Socket {
        Socket { registered: self.registered.of_a_stream() }
    }

    /// Ends the registration. The socket stays non-blocking.
    pub(crate) fn into_std<S: From<OwnedFd>>(self) -> io::Result<S> {
        Ok(self.registered.into_fd()?.into())
    }

    /// The descriptor, for system calls that leave nothing of it behind.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.registered.fd()
    }

    /// The descriptor, for code that we don't know.
    pub(crate) fn lend(&self) -> BorrowedFd<'_> {
        self.registered.lend()
    }

    /// The socket, for options that leave nothing of it behind.
    pub(crate) fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.registered)
    }

    /// getsockname(2).
    pub(crate) fn local_addr<A: Address>(&self) -> io::Result<A> {
        A::from_kernel(&self.options().local_addr()?)
    }

    /// getpeername(2).
    pub(crate) fn peer_addr<A: Address>(&self) -> io::Result<A> {
        A::from_kernel(&self.options().peer_addr()?)
    }

    /// Waits until reading is worth a try. Any number of tasks may wait.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.registered.ready(Direction::Read).await
    }

    /// Waits until writing is worth a try. Any number of tasks may wait.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.registered.ready(Direction::Write).await
    }

    /// Looks at what there is without taking it. Any number of tasks may wait.
    pub(crate) async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.registered.io(Direction::Read, |fd| stream::peek(fd, buf)).await
    }

    /// The Debug of the type `name`, which is made of it.
    pub(crate) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name).field("fd", &self.fd()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("Socket", f)
    }
}
