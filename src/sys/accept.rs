//! Accepting connections: accept4(2).
//!
//! The peer's address takes instructions in the kernel and in this process, so it is asked for where
//! it is wanted only.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use socket2::{SockAddr, SockRef};

use super::fd::OwnedFd;
use super::ip_address::IpAddress;
use super::syscall::{checked, syscall};
use super::traffic;

/// What each accepted socket gets.
const FLAGS: libc::c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

/// Accepts a connection, and doesn't ask where it comes from.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    simulated!(listener.as_raw_fd(), kernel => {
        counted(kernel.accept(listener.as_raw_fd()).map(|(socket, _)| socket.into()))
    });
    // SAFETY: the kernel writes to no address.
    counted(unsafe { accept4(listener, ptr::null_mut(), ptr::null_mut()) })
}

/// Accepts a connection of IP, with the address of its peer.
pub(crate) fn accept_from(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, IpAddress)> {
    simulated!(listener.as_raw_fd(), kernel => {
        let accepted = kernel.accept(listener.as_raw_fd());
        counted(accepted.map(|(socket, peer)| (socket.into(), peer_of(&peer))))
    });
    let mut peer = IpAddress::UNSPECIFIED;
    let mut length = IpAddress::ROOM;
    // SAFETY: `peer` is writable for as many bytes as `length` says.
    let accepted = unsafe { accept4(listener, &raw mut peer, &raw mut length) };
    Ok((counted(accepted)?, peer))
}

/// Returns the address of an accepted connection of the simulated kernel.
#[cfg(feature = "sim")]
fn peer_of(peer: &SockAddr) -> IpAddress {
    peer.as_socket().map_or(IpAddress::UNSPECIFIED, |peer| IpAddress::from_std(&peer).0)
}

/// Accepts a connection of any family, with the address of its peer.
pub(crate) fn accept_from_any(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    simulated!(listener.as_raw_fd(), kernel => {
        let accepted = kernel.accept(listener.as_raw_fd());
        counted(accepted.map(|(socket, peer)| (socket.into(), peer)))
    });
    let accepted = SockRef::from(&listener).accept4(FLAGS);
    counted(accepted.map(|(socket, peer)| (socket.into(), peer)))
}

/// Accepts a connection.
///
/// # Safety
///
/// Either both pointers are null, or `peer` is writable for as many bytes as `length` says.
#[inline]
unsafe fn accept4(
    listener: BorrowedFd<'_>,
    peer: *mut IpAddress,
    length: *mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    let [listener, flags] = [listener.as_raw_fd() as usize, FLAGS as usize];
    let arguments = [listener, peer as usize, length as usize, flags, 0, 0];
    // SAFETY: the caller vouches for the pointers.
    let fd = checked(unsafe { syscall(libc::SYS_accept4, arguments) })?;
    // SAFETY: the kernel has just made this descriptor, and no other code has it.
    Ok(unsafe { OwnedFd::from_raw(fd as RawFd) })
}

/// Counts what came of an accept.
#[inline]
fn counted<T>(accepted: io::Result<T>) -> io::Result<T> {
    match &accepted {
        Ok(_) => traffic::accepted(),
        Err(error) => count_failure(error),
    }
    accepted
}

/// Counts a failure. An empty backlog is none.
#[cold]
fn count_failure(error: &io::Error) {
    if error.kind() != io::ErrorKind::WouldBlock {
        traffic::accept_failed();
    }
}
