//! Sockets that send and receive datagrams, of IP and Unix. No call blocks.
//!
//! MSG_DONTWAIT is set in each call as well, since the O_NONBLOCK of a socket that came from
//! outside belongs to the file and may be cleared by its other owner (fcntl(2)).

use std::io;
#[cfg(feature = "sim")]
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::fd::OwnedFd;
use super::ip_address::IpAddress;
#[cfg(feature = "sim")]
use super::socket::ip_address;
use super::syscall::{checked, syscall};
use super::traffic;

/// Creates a non-blocking socket without an address.
pub(crate) fn unbound(domain: Domain) -> io::Result<OwnedFd> {
    simulated!(kernel => match domain {
        Domain::UNIX => kernel.unix_bind(None).map(OwnedFd::from),
        _ => super::sim::unsupported("sockets of IP without an address"),
    });
    Ok(Socket::new(domain, Type::DGRAM.nonblocking(), None)?.into())
}

/// Creates two non-blocking Unix sockets that are connected to each other: socketpair(2).
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    simulated!(kernel => {
        kernel.unix_datagram_pair().map(|(one, other)| (one.into(), other.into()))
    });
    let (one, other) = Socket::pair(Domain::UNIX, Type::DGRAM.nonblocking(), None)?;
    Ok((one.into(), other.into()))
}

/// Creates a non-blocking socket and binds it to `addr`.
pub(crate) fn bind(addr: &SockAddr) -> io::Result<OwnedFd> {
    simulated!(kernel => match addr.as_socket() {
        Some(ip) => kernel.udp_bind(ip).map(OwnedFd::from),
        None => kernel.unix_bind(Some(addr)).map(OwnedFd::from),
    });
    let socket = Socket::new(addr.domain(), Type::DGRAM.nonblocking(), None)?;
    socket.bind(addr)?;
    Ok(socket.into())
}

/// Sets the peer of a socket by connect(2). send(2) sends to it, and recv(2) drops what others
/// send.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SockAddr) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => kernel.connect_datagrams(fd.as_raw_fd(), addr));
    SockRef::from(&fd).connect(addr)
}

/// Sets SO_BROADCAST: whether the socket may send to all hosts of a network.
pub(crate) fn set_broadcast(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => kernel.set_broadcast(fd.as_raw_fd(), on));
    SockRef::from(&fd).set_broadcast(on)
}

/// Returns SO_BROADCAST.
pub(crate) fn broadcast(fd: BorrowedFd<'_>) -> io::Result<bool> {
    simulated!(fd.as_raw_fd(), kernel => kernel.broadcast(fd.as_raw_fd()));
    SockRef::from(&fd).broadcast()
}

/// Receives one datagram of IP and returns its length and its sender: recvfrom(2). Bytes that
/// `buffer` has no room for are lost.
#[inline]
pub(crate) fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let received = recv_from_flags(fd, buffer, libc::MSG_DONTWAIT)?;
    traffic::bytes_in(received.0);
    Ok(received)
}

/// Receives one datagram of IP and leaves it in the queue: recvfrom(2) with MSG_PEEK.
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    // It is not counted: the receive that follows counts the same bytes.
    recv_from_flags(fd, buffer, libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

/// Receives one datagram of IP with `flags`: recvfrom(2).
#[inline]
fn recv_from_flags(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, SocketAddr)> {
    simulated!(fd.as_raw_fd(), kernel => {
        let received = receive_simulated(&mut kernel, fd, buffer, flags)?;
        Ok((received.length, ip_address(&received.from)?))
    });
    let mut from = IpAddress::UNSPECIFIED;
    let mut length = IpAddress::ROOM;
    let [pointer, room] = [buffer.as_mut_ptr() as usize, buffer.len()];
    let [address, address_length] = [&raw mut from as usize, &raw mut length as usize];
    let arguments =
        [fd.as_raw_fd() as usize, pointer, room, flags as usize, address, address_length];
    // SAFETY: `buffer` is writable for `room` bytes, and `from` for as many as `length` says.
    let count = checked(unsafe { syscall(libc::SYS_recvfrom, arguments) })?;
    Ok((count, from.to_std()?))
}

/// Sends one datagram of IP: sendto(2).
#[inline]
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &SocketAddr) -> io::Result<usize> {
    simulated!(fd.as_raw_fd(), kernel => {
        let sent = kernel.send_to(fd.as_raw_fd(), &[IoSlice::new(bytes)], Some(&SockAddr::from(*to)), 0);
        sent.inspect(|count| traffic::bytes_out(*count))
    });
    let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
    let (address, length) = IpAddress::from_std(to);
    let [pointer, count] = [bytes.as_ptr() as usize, bytes.len()];
    let to = &raw const address as usize;
    let arguments = [fd.as_raw_fd() as usize, pointer, count, flags, to, length as usize];
    // SAFETY: `bytes` is readable for its length, and `address` for `length`.
    let count = checked(unsafe { syscall(libc::SYS_sendto, arguments) })?;
    traffic::bytes_out(count);
    Ok(count)
}

/// Receives one datagram of any family, as [`recv_from`] does.
pub(crate) fn recv_from_any(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SockAddr)> {
    simulated!(fd.as_raw_fd(), kernel => {
        let received = receive_simulated(&mut kernel, fd, buffer, 0)?;
        traffic::bytes_in(received.length);
        Ok((received.length, received.from))
    });
    SockRef::from(&fd)
        .recv_from_with_flags(to_fill(buffer), libc::MSG_DONTWAIT)
        .inspect(|(count, _)| traffic::bytes_in(*count))
}

/// Receives one datagram of any family and leaves it in the queue, as [`peek_from`] does.
pub(crate) fn peek_from_any(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SockAddr)> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    simulated!(fd.as_raw_fd(), kernel => {
        let received = receive_simulated(&mut kernel, fd, buffer, flags)?;
        Ok((received.length, received.from))
    });
    SockRef::from(&fd).recv_from_with_flags(to_fill(buffer), flags)
}

/// Sends one datagram of any family, as [`send_to`] does.
pub(crate) fn send_to_any(fd: BorrowedFd<'_>, bytes: &[u8], to: &SockAddr) -> io::Result<usize> {
    simulated!(fd.as_raw_fd(), kernel => {
        let sent = kernel.send_to(fd.as_raw_fd(), &[IoSlice::new(bytes)], Some(to), 0);
        sent.inspect(|count| traffic::bytes_out(*count))
    });
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    SockRef::from(&fd)
        .send_to_with_flags(bytes, to, flags)
        .inspect(|count| traffic::bytes_out(*count))
}

/// Receives one datagram of the simulated kernel.
#[cfg(feature = "sim")]
fn receive_simulated(
    kernel: &mut super::sim::World,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<super::sim::Received> {
    let most = buffer.len();
    let mut fill = |bytes: &[u8]| buffer[..bytes.len()].copy_from_slice(bytes);
    kernel.receive_from(fd.as_raw_fd(), &mut fill, most, flags & libc::MSG_PEEK != 0)
}

/// Views initialized bytes as the `MaybeUninit` slice that socket2 expects.
fn to_fill(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the two have the same layout, and socket2 promises that it never writes uninitialised
    // bytes into the buffer of a receive.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
