//! Sockets that send and receive datagrams, of IP and Unix. No call blocks.
//!
//! MSG_DONTWAIT is set in each call as well, since the O_NONBLOCK of a socket that came from
//! outside belongs to the file and may be cleared by its other owner (fcntl(2)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::fd::OwnedFd;
use super::traffic;

/// Creates a non-blocking socket without an address.
pub(crate) fn unbound(domain: Domain) -> io::Result<OwnedFd> {
    Ok(Socket::new(domain, Type::DGRAM.nonblocking(), None)?.into())
}

/// Creates a non-blocking socket and binds it to `addr`.
pub(crate) fn bind(addr: &SockAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(addr.domain(), Type::DGRAM.nonblocking(), None)?;
    socket.bind(addr)?;
    Ok(socket.into())
}

/// Sets the peer of a socket by connect(2). send(2) sends to it, and recv(2) drops what others
/// send.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SockAddr) -> io::Result<()> {
    SockRef::from(&fd).connect(addr)
}

/// Receives one datagram and returns its length and its sender: recvfrom(2). Bytes that `buffer`
/// has no room for are lost.
pub(crate) fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    SockRef::from(&fd)
        .recv_from_with_flags(to_fill(buffer), libc::MSG_DONTWAIT)
        .inspect(|(count, _)| traffic::bytes_in(*count))
}

/// Receives one datagram and leaves it in the queue: recvfrom(2) with MSG_PEEK.
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    // It is not counted: the receive that follows counts the same bytes.
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    SockRef::from(&fd).recv_from_with_flags(to_fill(buffer), flags)
}

/// Sends one datagram: sendto(2).
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &SockAddr) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    SockRef::from(&fd)
        .send_to_with_flags(bytes, to, flags)
        .inspect(|count| traffic::bytes_out(*count))
}

/// Views initialized bytes as the `MaybeUninit` slice that socket2 expects.
fn to_fill(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the two have the same layout, and socket2 promises that it never writes uninitialised
    // bytes into the buffer of a receive.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
