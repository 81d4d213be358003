//! How datagrams go in and out of a socket: one a call, whole or cut at the end of the buffer. Any
//! number of tasks may wait in the futures.
//!
//! There is no short read here: what was cut off is lost, and another datagram may wait behind it.
//! So readiness ends by `WouldBlock` only. An empty buffer is passed on, for it takes a datagram as
//! well.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use socket2::SockAddr;

use crate::parts::readiness::Direction;
use crate::sys::{datagram, stream};

use crate::net::addr::Address;
use crate::net::socket::Socket;

impl Socket {
    /// Sends one to the connected address.
    pub(crate) async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.io(Direction::Write, |fd| self.charged(stream::send(fd, buf))).await
    }

    /// Sends one to `target`.
    pub(crate) async fn send_to(&self, buf: &[u8], target: &SockAddr) -> io::Result<usize> {
        self.registered
            .io(Direction::Write, |fd| self.charged(datagram::send_to(fd, buf, target)))
            .await
    }

    /// Receives one.
    pub(crate) async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.registered.io(Direction::Read, |fd| self.charged(stream::recv(fd, buf))).await
    }

    /// Receives one, and returns the address of its sender.
    pub(crate) async fn recv_from<A: Address>(&self, buf: &mut [u8]) -> io::Result<(usize, A)> {
        self.registered.io(Direction::Read, |fd| self.received(datagram::recv_from(fd, buf))).await
    }

    /// Copies the next one into `buf` and leaves it there, and returns the address of its sender.
    pub(crate) async fn peek_from<A: Address>(&self, buf: &mut [u8]) -> io::Result<(usize, A)> {
        self.registered.io(Direction::Read, |fd| self.received(datagram::peek_from(fd, buf))).await
    }

    /// Polls for one, and receives it with the address of its sender.
    pub(crate) fn poll_recv_from<A: Address>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, A)>> {
        let receive = |fd: BorrowedFd<'_>| self.received(datagram::recv_from(fd, buf));
        self.registered.poll_io(cx, Direction::Read, receive)
    }

    /// Polls for room, and sends one to `target`.
    pub(crate) fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: &SockAddr,
    ) -> Poll<io::Result<usize>> {
        let send = |fd: BorrowedFd<'_>| self.charged(datagram::send_to(fd, buf, target));
        self.registered.poll_io(cx, Direction::Write, send)
    }

    /// Takes what so many bytes cost from the task's allowance.
    pub(crate) fn charged(&self, moved: io::Result<usize>) -> io::Result<usize> {
        // The call itself is counted where it waits; this is for the bytes that were copied.
        moved.inspect(|count| self.registered.local().allowance.charge(*count))
    }

    /// Returns the length and the sender of a received datagram, the sender in std's form.
    fn received<A: Address>(
        &self,
        received: io::Result<(usize, SockAddr)>,
    ) -> io::Result<(usize, A)> {
        let (count, from) = received?;
        // Before the address is looked at: the datagram has been taken, whatever its sender is
        // called.
        self.charged(Ok(count))?;
        // Only an address of another family can't be converted, which the kernel doesn't return
        // here.
        Ok((count, A::from_kernel(&from)?))
    }

    /// Sends one to the connected address without waiting.
    pub(crate) fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Write, |fd| self.charged(stream::send(fd, buf)))
    }

    /// Sends one to `target` without waiting.
    pub(crate) fn try_send_to(&self, buf: &[u8], target: &SockAddr) -> io::Result<usize> {
        self.registered
            .try_io(Direction::Write, |fd| self.charged(datagram::send_to(fd, buf, target)))
    }

    /// Receives one without waiting.
    pub(crate) fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Read, |fd| self.charged(stream::recv(fd, buf)))
    }

    /// Receives one without waiting, and returns the address of its sender.
    pub(crate) fn try_recv_from<A: Address>(&self, buf: &mut [u8]) -> io::Result<(usize, A)> {
        self.registered.try_io(Direction::Read, |fd| self.received(datagram::recv_from(fd, buf)))
    }
}
