//! Where an acceptor listens: at an address, or with a socket that other code has bound.
//!
//! A socket that listens already comes from a service manager, or from the process before this one.
//! Other code may have duplicates of it, so that it is removed from epoll before it is closed.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::net::addr::to_stream_addr::{Requested, StreamAddr};
use crate::net::addr::{Address, unix};
use crate::sys::fd::OwnedFd;
use crate::sys::socket;

use super::listening::LocalAddr;
use super::listening_socket::BoundSocket;

/// Where an acceptor will listen.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// An address, at which it makes its sockets.
    Address(Requested),
    /// A socket that listens already.
    Socket(ExistingSocket),
}

impl Place {
    /// Returns `true` if it is at a Unix socket.
    ///
    /// # Errors
    ///
    /// The address is malformed.
    pub(crate) fn is_unix(&self) -> io::Result<bool> {
        Ok(match self {
            Place::Address(address) => matches!(address.parse()?, StreamAddr::Unix(_)),
            Place::Socket(socket) => matches!(socket.address(), LocalAddr::Unix(_)),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Address(address) => address.fmt(f),
            Place::Socket(socket) => socket.fmt(f),
        }
    }
}

/// A socket that listens already, for an acceptor. Clones share the descriptor.
#[derive(Debug, Clone)]
pub(crate) struct ExistingSocket {
    /// The descriptor as it came.
    fd: Arc<OwnedFd>,
    /// Where it listens.
    address: LocalAddr,
}

impl ExistingSocket {
    /// Takes over `fd`.
    ///
    /// # Errors
    ///
    /// It is not a TCP or Unix stream socket that listens.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<ExistingSocket> {
        let kernel = socket::listener_addr(fd.as_fd())?;
        let address = if kernel.is_unix() {
            LocalAddr::Unix(Address::from_kernel(&kernel)?)
        } else {
            LocalAddr::Ip(Address::from_kernel(&kernel)?)
        };
        Ok(ExistingSocket { fd: Arc::new(fd), address })
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> &LocalAddr {
        &self.address
    }

    /// Returns a socket for a poller: a duplicate, as clones of the acceptor may listen as well. A
    /// file of a Unix socket stays with the code that has bound it.
    pub(crate) fn bound(&self, settings: &socket::Listen) -> io::Result<BoundSocket> {
        // CLOEXEC, which a descriptor that came through execve(2) can't be.
        let fd = self.fd.try_clone()?;
        socket::adopt_listener(fd.as_fd(), settings)?;
        Ok(BoundSocket { file: None, fd })
    }
}

/// Shows the address as [`ToStreamAddr`](crate::net::ToStreamAddr) takes it.
impl fmt::Display for ExistingSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            LocalAddr::Ip(address) => address.fmt(f),
            LocalAddr::Unix(address) => write!(f, "unix:{}", unix::name(address)),
        }
    }
}
