//! How datagrams go in and out of a socket: one at a call, whole or cut. Any number of tasks may
//! be in here.

use std::io;

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

    /// Receives one, and where it came from.
    pub(crate) async fn recv_from<A: Address>(&self, buf: &mut [u8]) -> io::Result<(usize, A)> {
        self.registered.io(Direction::Read, |fd| self.received(datagram::recv_from(fd, buf))).await
    }

    /// As [`Socket::recv_from`], but the datagram stays.
    pub(crate) async fn peek_from<A: Address>(&self, buf: &mut [u8]) -> io::Result<(usize, A)> {
        self.registered.io(Direction::Read, |fd| self.received(datagram::peek_from(fd, buf))).await
    }

    /// Takes what so many bytes cost from the task's allowance.
    pub(crate) fn charged(&self, moved: io::Result<usize>) -> io::Result<usize> {
        moved.inspect(|count| self.registered.local().allowance.charge(*count))
    }

    /// A received datagram's source in std's form.
    fn received<A: Address>(
        &self,
        received: io::Result<(usize, SockAddr)>,
    ) -> io::Result<(usize, A)> {
        let (count, from) = received?;
        self.charged(Ok(count))?;
        Ok((count, A::from_kernel(&from)?))
    }

    /// [`Socket::send`] without waiting.
    pub(crate) fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Write, |fd| self.charged(stream::send(fd, buf)))
    }

    /// [`Socket::send_to`] without waiting.
    pub(crate) fn try_send_to(&self, buf: &[u8], target: &SockAddr) -> io::Result<usize> {
        self.registered
            .try_io(Direction::Write, |fd| self.charged(datagram::send_to(fd, buf, target)))
    }

    /// [`Socket::recv`] without waiting.
    pub(crate) fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.registered.try_io(Direction::Read, |fd| self.charged(stream::recv(fd, buf)))
    }

    /// [`Socket::recv_from`] without waiting.
    pub(crate) fn try_recv_from<A: Address>(&self, buf: &mut [u8]) -> io::Result<(usize, A)> {
        self.registered.try_io(Direction::Read, |fd| self.received(datagram::recv_from(fd, buf)))
    }
}
