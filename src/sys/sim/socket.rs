//! The calls that sockets of every kind have.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{OwnedFd, RawFd};

use socket2::SockAddr;

use super::connection::Phase;
use super::errors::errno;
use super::id::Id;
use super::mark::Reading;
use super::object::Kind;
use super::world::World;
use crate::sys::socket_address::ip_address;
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
        to: Option<&SockAddr>,
        segment_size: usize,
    ) -> io::Result<usize> {
        self.pass_a_call();
        self.run_due();
        match self.found(fd)? {
            (id, Kind::Udp(_)) => {
                let Ok(to) = to.map(ip_address).transpose() else {
                    return errno(libc::EAFNOSUPPORT);
                };
                self.udp_send(id, slices, to, segment_size)
            }
            (id, Kind::UnixDatagram(_)) => self.unix_datagram_send(id, slices, to),
            (id, Kind::UnixStream(_)) => self.unix_send(id, slices),
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
        let peeks = reading == Reading::Peek;
        match self.found(fd)? {
            (id, Kind::Udp(_)) => {
                self.udp_receive(id, fill, most, peeks).map(|received| received.length)
            }
            (id, Kind::UnixDatagram(_)) => {
                self.unix_datagram_receive(id, fill, most, peeks).map(|received| received.length)
            }
            (id, Kind::UnixStream(_) | Kind::UnixListener(_)) => {
                self.unix_receive(id, fill, most, peeks)
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
            (id, Kind::UnixDatagram(_)) => self.unix_datagram_receive(id, fill, most, peeks),
            _ => errno(libc::EOPNOTSUPP),
        }
    }

    /// Accepts a connection: accept4(2).
    pub(crate) fn accept(&mut self, fd: RawFd) -> io::Result<(OwnedFd, SockAddr)> {
        self.pass_a_call();
        self.run_due();
        match self.found(fd)? {
            (id, Kind::UnixListener(_) | Kind::UnixStream(_)) => self.unix_accept(id),
            (id, _) => self.tcp_accept(id),
        }
    }

    /// Sets the peer of a socket for datagrams: connect(2).
    pub(crate) fn connect_datagrams(&mut self, fd: RawFd, to: &SockAddr) -> io::Result<()> {
        match self.found(fd)?.1 {
            Kind::UnixDatagram(_) => self.unix_datagram_connect(fd, to),
            _ => match to.as_socket() {
                Some(to) => self.udp_connect(fd, to),
                None => errno(libc::EAFNOSUPPORT),
            },
        }
    }

    /// Returns `true` if a socket has a peer that is on the same machine: a Unix socket's.
    pub(crate) fn has_local_peer(&self, fd: RawFd) -> bool {
        match self.found(fd) {
            Ok((_, Kind::UnixStream(_))) => true,
            Ok((_, Kind::UnixDatagram(socket))) => socket.peer.is_some(),
            _ => false,
        }
    }

    /// Ends one or both directions: shutdown(2).
    pub(crate) fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        self.pass_a_call();
        self.run_due();
        let (input, output) = (how != Shutdown::Write, how != Shutdown::Read);
        match self.found(fd)? {
            (id, Kind::Udp(_)) => return self.udp_shutdown(id, input, output),
            (id, Kind::UnixDatagram(_)) => self.unix_datagram_shutdown(id, input, output),
            (id, Kind::UnixStream(_) | Kind::UnixListener(_)) => {
                self.unix_shutdown(id, input, output);
            }
            _ => return self.tcp_shutdown(fd, how),
        }
        Ok(())
    }

    /// Takes the pending error: SO_ERROR.
    pub(crate) fn take_error(&mut self, fd: RawFd) -> io::Result<Option<io::Error>> {
        self.run_due();
        let (id, _) = self.found(fd)?;
        let error = match &mut self.object(id)?.kind {
            Kind::Tcp(tcp) => tcp.error.take(),
            Kind::Udp(udp) => udp.error.take(),
            Kind::UnixStream(stream) => stream.error.take(),
            Kind::UnixDatagram(socket) => socket.error.take(),
            _ => None,
        };
        Ok(error.map(io::Error::from_raw_os_error))
    }

    /// Leaves an error for the next call.
    pub(crate) fn put_error(&mut self, fd: RawFd, code: libc::c_int) {
        if let Some(id) = self.find(fd)
            && let Some(object) = self.objects.get_mut(&id)
        {
            match &mut object.kind {
                Kind::Udp(udp) => udp.error = Some(code),
                Kind::UnixDatagram(socket) => socket.error = Some(code),
                _ => {}
            }
        }
    }

    /// Returns the address of a socket: getsockname(2).
    pub(crate) fn local_name(&self, fd: RawFd) -> io::Result<SockAddr> {
        match self.found(fd)?.1 {
            Kind::Tcp(tcp) => tcp.local.map_or_else(|| errno(libc::EINVAL), |it| Ok(it.into())),
            Kind::Listener(listener) => Ok(listener.local.into()),
            Kind::Udp(udp) => Ok(udp.local.into()),
            Kind::UnixStream(stream) => stream.local.to_kernel(),
            Kind::UnixListener(listener) => listener.local.to_kernel(),
            Kind::UnixDatagram(socket) => socket.local.to_kernel(),
            _ => errno(libc::ENOTSOCK),
        }
    }

    /// Returns the address of a socket's peer: getpeername(2).
    pub(crate) fn peer_name(&self, fd: RawFd) -> io::Result<SockAddr> {
        let peer = match self.found(fd)?.1 {
            Kind::Tcp(tcp) if matches!(tcp.phase, Phase::Received | Phase::Open) => Some(tcp.peer),
            Kind::Tcp(_) | Kind::Listener(_) | Kind::UnixListener(_) => None,
            Kind::Udp(udp) => udp.peer,
            Kind::UnixStream(stream) => return stream.peer_name.to_kernel(),
            Kind::UnixDatagram(socket) => match &socket.peer {
                Some((_, name)) => return name.to_kernel(),
                None => None,
            },
            _ => return errno(libc::ENOTSOCK),
        };
        peer.map_or_else(|| errno(libc::ENOTCONN), |peer| Ok(peer.into()))
    }

    /// Returns what a socket carries, or `None` if the descriptor is not a socket.
    pub(crate) fn socket_kind(&self, fd: RawFd) -> Option<SocketKind> {
        match self.found(fd).ok()?.1 {
            Kind::Tcp(_) | Kind::Listener(_) => Some(SocketKind::Stream),
            Kind::UnixStream(_) | Kind::UnixListener(_) => Some(SocketKind::Stream),
            Kind::Udp(_) | Kind::UnixDatagram(_) => Some(SocketKind::Datagrams),
            _ => None,
        }
    }

    /// Returns how many bytes there are to read, or how long the first datagram is: FIONREAD.
    pub(crate) fn unread(&self, fd: RawFd) -> io::Result<usize> {
        match self.found(fd)?.1 {
            Kind::Tcp(tcp) => Ok(tcp.unread()),
            Kind::Udp(udp) => Ok(udp.input.front().map_or(0, |first| first.bytes.len())),
            Kind::UnixStream(stream) => Ok(stream.unread()),
            Kind::UnixDatagram(socket) => {
                Ok(socket.input.front().map_or(0, |first| first.bytes.len()))
            }
            Kind::UnixListener(_) => errno(libc::EINVAL),
            _ => errno(libc::ENOTTY),
        }
    }
}
