//! The calls that sockets of every kind have.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;

use socket2::SockAddr;

use super::connection::Phase;
use super::errors::errno;
use super::id::Id;
use super::mark::Reading;
use super::object::Kind;
use super::world::World;
use crate::sys::socket_kind::SocketKind;

/// What a call has received, where a sender has an address.
pub(crate) struct Received {
    /// The bytes in the buffer.
    pub(crate) length: usize,
    /// The sender.
    pub(crate) from: SockAddr,
    /// The size of each datagram but the last, if they are several; otherwise 0.
    pub(crate) segment_size: usize,
    /// Whether there was more than the buffer had room for: MSG_TRUNC.
    pub(crate) is_truncated: bool,
}

impl World {
    /// Returns the object of a descriptor.
    fn found(&self, fd: RawFd) -> io::Result<(Id, &Kind)> {
        match self.find(fd).and_then(|id| Some((id, self.objects.get(&id)?))) {
            Some((id, object)) => Ok((id, &object.kind)),
            None => errno(libc::EBADF),
        }
    }

    /// Sends to the peer: send(2).
    pub(crate) fn send(&mut self, fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_to(fd, slices, None, 0)
    }

    /// Sends to `to`, or else to the peer, by messages of `segment_size` bytes if that is not 0:
    /// sendmsg(2).
    pub(crate) fn send_to(
        &mut self,
        fd: RawFd,
        slices: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        segment_size: usize,
    ) -> io::Result<usize> {
        self.pass_a_call();
        self.run_due();
        match self.found(fd)? {
            (id, Kind::Udp(_)) => self.udp_send(id, slices, to, segment_size),
            _ => self.tcp_send(fd, slices),
        }
    }

    /// Gives up to `most` bytes that have come to `fill`.
    pub(super) fn receive(
        &mut self,
        fd: RawFd,
        fill: &mut dyn FnMut(&[u8]),
        most: usize,
        reading: Reading,
    ) -> io::Result<usize> {
        self.pass_a_call();
        self.run_due();
        match self.found(fd)? {
            (id, Kind::Udp(_)) => {
                let peeks = reading == Reading::Peek;
                self.udp_receive(id, fill, most, peeks).map(|received| received.length)
            }
            _ => self.tcp_recv(fd, fill, most, reading),
        }
    }

    /// Receives as [`World::receive`] does, with the address of the sender: recvfrom(2).
    pub(crate) fn receive_from(
        &mut self,
        fd: RawFd,
        fill: &mut dyn FnMut(&[u8]),
        most: usize,
        peeks: bool,
    ) -> io::Result<Received> {
        self.pass_a_call();
        self.run_due();
        match self.found(fd)? {
            (id, Kind::Udp(_)) => self.udp_receive(id, fill, most, peeks),
            _ => errno(libc::EOPNOTSUPP),
        }
    }

    /// Ends one or both directions: shutdown(2).
    pub(crate) fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        self.pass_a_call();
        self.run_due();
        match self.found(fd)? {
            (id, Kind::Udp(_)) => {
                self.udp_shutdown(id, how != Shutdown::Write, how != Shutdown::Read)
            }
            _ => self.tcp_shutdown(fd, how),
        }
    }

    /// Takes the pending error: SO_ERROR.
    pub(crate) fn take_error(&mut self, fd: RawFd) -> io::Result<Option<io::Error>> {
        self.run_due();
        let (id, _) = self.found(fd)?;
        let error = match &mut self.object(id)?.kind {
            Kind::Tcp(tcp) => tcp.error.take(),
            Kind::Udp(udp) => udp.error.take(),
            _ => None,
        };
        Ok(error.map(io::Error::from_raw_os_error))
    }

    /// Leaves an error for the next call.
    pub(crate) fn put_error(&mut self, fd: RawFd, code: libc::c_int) {
        if let Some(id) = self.find(fd)
            && let Some(udp) = self.udp(id)
        {
            udp.error = Some(code);
        }
    }

    /// Returns the address of a socket: getsockname(2).
    pub(crate) fn local_name(&self, fd: RawFd) -> io::Result<SockAddr> {
        match self.found(fd)?.1 {
            Kind::Tcp(tcp) => tcp.local.map_or_else(|| errno(libc::EINVAL), |it| Ok(it.into())),
            Kind::Listener(listener) => Ok(listener.local.into()),
            Kind::Udp(udp) => Ok(udp.local.into()),
            _ => errno(libc::ENOTSOCK),
        }
    }

    /// Returns the address of a socket's peer: getpeername(2).
    pub(crate) fn peer_name(&self, fd: RawFd) -> io::Result<SockAddr> {
        let peer = match self.found(fd)?.1 {
            Kind::Tcp(tcp) if matches!(tcp.phase, Phase::Received | Phase::Open) => Some(tcp.peer),
            Kind::Tcp(_) | Kind::Listener(_) => None,
            Kind::Udp(udp) => udp.peer,
            _ => return errno(libc::ENOTSOCK),
        };
        peer.map_or_else(|| errno(libc::ENOTCONN), |peer| Ok(peer.into()))
    }

    /// Returns what a socket carries, or `None` if the descriptor is not a socket.
    pub(crate) fn socket_kind(&self, fd: RawFd) -> Option<SocketKind> {
        match self.found(fd).ok()?.1 {
            Kind::Tcp(_) | Kind::Listener(_) => Some(SocketKind::Stream),
            Kind::Udp(_) => Some(SocketKind::Datagrams),
            _ => None,
        }
    }

    /// Returns how many bytes there are to read, or how long the first datagram is: FIONREAD.
    pub(crate) fn unread(&self, fd: RawFd) -> io::Result<usize> {
        match self.found(fd)?.1 {
            Kind::Tcp(tcp) => Ok(tcp.unread()),
            Kind::Udp(udp) => Ok(udp.input.front().map_or(0, |first| first.bytes.len())),
            _ => errno(libc::ENOTTY),
        }
    }
}
