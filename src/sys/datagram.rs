//! Sockets for datagrams, of the Internet and Unix alike. Every call returns at once.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::traffic;

/// A non-blocking socket without an address.
pub(crate) fn unbound(domain: Domain) -> io::Result<OwnedFd> {
    Ok(Socket::new(domain, Type::DGRAM.nonblocking(), None)?.into())
}

/// A non-blocking socket at `addr`.
pub(crate) fn bind(addr: &SockAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(addr.domain(), Type::DGRAM.nonblocking(), None)?;
    socket.bind(addr)?;
    Ok(socket.into())
}

/// connect(2): the address that send(2) means, and the only one that recv(2) hears of.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SockAddr) -> io::Result<()> {
    SockRef::from(&fd).connect(addr)
}

/// recvfrom(2): one datagram, cut at the end of `buffer`, and where it came from.
pub(crate) fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    SockRef::from(&fd)
        .recv_from_with_flags(to_fill(buffer), libc::MSG_DONTWAIT)
        .inspect(|(count, _)| traffic::bytes_in(*count))
}

/// recvfrom(2) that leaves the datagram where it is.
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    SockRef::from(&fd).recv_from_with_flags(to_fill(buffer), flags)
}

/// sendto(2) of one datagram.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &SockAddr) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    SockRef::from(&fd)
        .send_to_with_flags(bytes, to, flags)
        .inspect(|count| traffic::bytes_out(*count))
}

/// The same bytes, as those want them who only write.
fn to_fill(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the two have the same layout, and socket2 promises that it never writes uninitialised
    // bytes into the buffer of a receive.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
