//! The descriptor of a UDP socket, with what the kernel can do for it.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use corepoll::net::AsyncFd;
use quinn::udp::UdpSocketState;

/// A UDP socket and what the kernel can do for it.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// The socket.
    pub(crate) socket: UdpSocket,
    /// Whether the kernel segments, coalesces and fragments, as quinn-udp has found out.
    pub(crate) state: UdpSocketState,
}

impl Datagrams {
    /// Asks the kernel what it can do for `socket`, and sets what quinn-udp needs.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2).
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Datagrams> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Datagrams { socket, state })
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A registration of the socket with its poller.
pub(crate) type Registration = AsyncFd<Arc<Datagrams>>;
