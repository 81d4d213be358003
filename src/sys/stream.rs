//! Bytes in and out of a descriptor. Every call returns at once and none raises SIGPIPE.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::sigpipe::NoSigpipe;
use super::syscall::{checked, syscall};
use super::traffic;

/// recv(2) into `buffer`.
#[inline(always)]
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recv_uncounted(fd, buffer).inspect(|count| traffic::bytes_in(*count))
}

/// [`recv`] for the request path, where the caller has a counter at hand.
#[inline(always)]
pub(crate) fn recv_uncounted(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recv_flags(fd, buffer, libc::MSG_DONTWAIT)
}

/// recv(2) into `buffer` that leaves the bytes where they are.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recv_flags(fd, buffer, libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

/// Whether an urgent byte has come or been announced: one that lies beside the others, which no other
/// read shows. recv(2) with MSG_OOB says EINVAL if there is none.
pub(crate) fn has_urgent(fd: BorrowedFd<'_>) -> bool {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_OOB;
    match recv_flags(fd, &mut [0], flags) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// recv(2) into `buffer`, whose first bytes, as many as have come, are initialized then. For the
/// request path: it isn't counted.
#[inline(always)]
pub(crate) fn recv_uninit(fd: BorrowedFd<'_>, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let [pointer, length] = [buffer.as_mut_ptr() as usize, buffer.len()];
    let flags = libc::MSG_DONTWAIT as usize;
    // SAFETY: `buffer` is writable for `length` bytes, and no address is asked for.
    checked(unsafe {
        syscall(libc::SYS_recvfrom, [fd.as_raw_fd() as usize, pointer, length, flags, 0, 0])
    })
}

#[inline(always)]
fn recv_flags(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    let [pointer, length] = [buffer.as_mut_ptr() as usize, buffer.len()];
    let arguments = [fd.as_raw_fd() as usize, pointer, length, flags as usize, 0, 0];
    // SAFETY: `buffer` is writable for `length` bytes, and no address is asked for.
    checked(unsafe { syscall(libc::SYS_recvfrom, arguments) })
}

/// send(2) of `bytes`.
#[inline(always)]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_uncounted(fd, bytes).inspect(|count| traffic::bytes_out(*count))
}

/// [`send`] for the request path, where the caller has a counter at hand.
#[inline(always)]
pub(crate) fn send_uncounted(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
    let arguments = [fd.as_raw_fd() as usize, bytes.as_ptr() as usize, bytes.len(), flags, 0, 0];
    // SAFETY: `bytes` is readable for its length, and no address is given.
    checked(unsafe { syscall(libc::SYS_sendto, arguments) })
}

/// The most slices that sendmsg(2) and recvmsg(2) take at once.
pub(crate) const MOST_SLICES: usize = libc::UIO_MAXIOV as usize;

/// sendmsg(2) of `slices`, at most as many as the kernel takes at once. Empty ones before the first
/// byte don't count.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let slices = &slices[leading_empty(slices)..];
    // SAFETY: all zeros is a valid msghdr: no address, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An IoSlice has the layout of an iovec by its documentation; sendmsg doesn't write to it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(MOST_SLICES) as _;
    let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
    let arguments = [fd.as_raw_fd() as usize, &raw const message as usize, flags, 0, 0, 0];
    // SAFETY: `message` names `msg_iovlen` slices that are readable for their lengths.
    checked(unsafe { syscall(libc::SYS_sendmsg, arguments) })
        .inspect(|count| traffic::bytes_out(*count))
}

/// How many of `slices` come before the first that isn't empty.
fn leading_empty(slices: &[impl Deref<Target = [u8]>]) -> usize {
    slices.iter().position(|slice| !slice.is_empty()).unwrap_or(slices.len())
}

/// recvmsg(2) into the first of `slices`, as many as the kernel takes at once: how many bytes came,
/// and for how many there was room. Empty ones before the first byte don't count.
pub(crate) fn recv_vectored(
    fd: BorrowedFd<'_>,
    slices: &mut [IoSliceMut<'_>],
) -> io::Result<(usize, usize)> {
    let first = leading_empty(slices);
    let slices = &mut slices[first..];
    let taken = slices.len().min(MOST_SLICES);
    let room = slices[..taken].iter().map(|slice| slice.len()).sum();
    // SAFETY: all zeros is a valid msghdr: no address, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = slices.as_mut_ptr().cast();
    message.msg_iovlen = taken as _;
    let flags = libc::MSG_DONTWAIT as usize;
    let arguments = [fd.as_raw_fd() as usize, &raw mut message as usize, flags, 0, 0, 0];
    // SAFETY: `message` names `msg_iovlen` slices that are writable for their lengths.
    let count = checked(unsafe { syscall(libc::SYS_recvmsg, arguments) })?;
    traffic::bytes_in(count);
    Ok((count, room))
}

/// read(2), for descriptors that are not sockets. They are non-blocking.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    read_uncounted(fd, buffer).inspect(|count| traffic::bytes_in(*count))
}

/// [`read`] of bytes that have been counted on their way in.
pub(super) fn read_uncounted(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let [pointer, length] = [buffer.as_mut_ptr() as usize, buffer.len()];
    let arguments = [fd.as_raw_fd() as usize, pointer, length, 0, 0, 0];
    loop {
        // SAFETY: `buffer` is writable for `length` bytes.
        match checked(unsafe { syscall(libc::SYS_read, arguments) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// write(2), for descriptors that are not sockets. They are non-blocking.
///
/// A pipe without a reader raises SIGPIPE, and write(2) has no flag against that.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let arguments = [fd.as_raw_fd() as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    NoSigpipe::new()
        .call(bytes.len(), || {
            // SAFETY: `bytes` is readable for its length.
            checked(unsafe { syscall(libc::SYS_write, arguments) })
        })
        .inspect(|count| traffic::bytes_out(*count))
}

/// Whether bytes wait to be read on a socket.
///
/// FIONREAD would say that there are none while an urgent byte is next, whatever follows it.
///
/// # Errors
/// The connection's error: the kernel tells of it only this once.
pub(crate) fn has_input(fd: BorrowedFd<'_>) -> io::Result<bool> {
    match peek(fd, &mut [0]) {
        Ok(count) => Ok(count > 0),
        // Nothing has come, or it is no socket that anything comes on.
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput => Ok(false),
            _ => Err(error),
        },
    }
}

/// How many bytes wait to be read, of what is no stream: FIONREAD of ioctl(2).
pub(crate) fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the pointer it is given.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(count.max(0) as usize)
}

/// Whether `fd` is open for writing only: fcntl(2).
pub(crate) fn is_write_only(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: takes no pointers; the descriptor is open while borrowed.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_WRONLY
}
