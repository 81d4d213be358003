//! How datagrams go in and out of a socket: one a call, whole or cut at the end of the buffer. Any
//! number of tasks may wait in the futures.
//!
//! There is no short read here: what was cut off is lost, and another datagram may wait behind it.
//! So readiness ends by `WouldBlock` only. An empty buffer is passed on, for it takes a datagram as
//! well.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use crate::parts::readiness::Direction;
use crate::sys::{datagram, stream};

use crate::net::socket::Socket;

impl Socket {
    /// Sends one to the connected address.
    pub(crate) fn send(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.registered.io(Direction::Write, |fd| self.charged(stream::send(fd, buf)))
    }

    /// Receives one.
    pub(crate) fn recv(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.registered.io(Direction::Read, |fd| self.charged(stream::recv(fd, buf)))
    }

    /// Receives one by `receive`, which returns its length and the address of its sender.
    #[inline]
    pub(crate) fn recv_from<A>(
        &self,
        buf: &mut [u8],
        receive: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<(usize, A)>,
    ) -> impl Future<Output = io::Result<(usize, A)>> {
        self.registered.io(Direction::Read, move |fd| self.charged_from(receive(fd, buf)))
    }

    /// Polls for one, and receives it by `receive`.
    pub(crate) fn poll_recv_from<A>(
        &self,
        cx: &mut Context<'_>,
        receive: impl FnOnce(BorrowedFd<'_>) -> io::Result<(usize, A)>,
    ) -> Poll<io::Result<(usize, A)>> {
        self.registered.poll_io(cx, Direction::Read, |fd| self.charged_from(receive(fd)))
    }

    /// Polls for room, and sends one to `target`.
    pub(crate) fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let send = |fd: BorrowedFd<'_>| self.charged(datagram::send_to(fd, buf, target));
        self.registered.poll_io(cx, Direction::Write, send)
    }

    /// Takes what so many bytes cost from the task's allowance.
    #[inline]
    pub(crate) fn charged(&self, moved: io::Result<usize>) -> io::Result<usize> {
        // The call itself is counted where it waits; this is for the bytes that were copied.
        moved.inspect(|count| self.registered.local().allowance.charge(*count))
    }

    /// Takes what the bytes of a received datagram cost, as [`Socket::charged`] does.
    #[inline]
    pub(crate) fn charged_from<A>(
        &self,
        received: io::Result<(usize, A)>,
    ) -> io::Result<(usize, A)> {
        received.inspect(|(count, _)| self.registered.local().allowance.charge(*count))
    }

    /// Sends one to the connected address without waiting.
    pub(crate) fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Write, |fd| self.charged(stream::send(fd, buf)))
    }

    /// Sends one to `target` without waiting.
    pub(crate) fn try_send_to(&self, buf: &[u8], target: &SocketAddr) -> io::Result<usize> {
        self.registered
            .try_io(Direction::Write, |fd| self.charged(datagram::send_to(fd, buf, target)))
    }

    /// Receives one without waiting.
    pub(crate) fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Read, |fd| self.charged(stream::recv(fd, buf)))
    }

    /// Receives one by `receive` without waiting.
    pub(crate) fn try_recv_from<A>(
        &self,
        receive: impl FnOnce(BorrowedFd<'_>) -> io::Result<(usize, A)>,
    ) -> io::Result<(usize, A)> {
        self.registered.try_io(Direction::Read, |fd| self.charged_from(receive(fd)))
    }
}
