//! Bytes in and out of a descriptor. No call blocks, and none raises SIGPIPE.
//!
//! MSG_DONTWAIT makes a call on a socket return EAGAIN where it would sleep, so that no EINTR can
//! come: a signal only interrupts a sleep (signal(7)). read(2) and splice(2) have no such flag, and
//! are called again after EINTR.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::sigpipe::NoSigpipe;
use super::syscall::{Answer, checked, libc_answer, move_bytes, syscall};
use super::traffic;

/// What a call of the request path has answered, and the bytes that it was given, which its caller
/// goes on with: see [`move_bytes`].
pub(crate) struct Moved<B> {
    /// The kernel's answer.
    pub(crate) answer: Answer,
    /// The bytes: all that were to be sent, or all the room that there was.
    pub(crate) bytes: B,
}

impl Moved<&[u8]> {
    /// Returns `true` if all bytes were sent.
    #[inline(always)]
    pub(crate) fn is_all(&self) -> bool {
        self.answer.is_all_of(self.bytes.len())
    }
}

/// Receives into `buffer`: recv(2).
#[inline(always)]
pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recv_uncounted(fd, buffer).inspect(|count| traffic::bytes_in(*count))
}

/// Receives as [`recv`] does, without counting: the request path has a counter at hand.
#[inline(always)]
pub(crate) fn recv_uncounted(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    recv_flags(fd, buffer, libc::MSG_DONTWAIT)
}

/// Receives into `buffer`, without counting, for the request path: recv(2).
///
/// # Safety
///
/// `buffer` is writable.
#[inline(always)]
pub(super) unsafe fn recv_at(fd: impl AsRawFd, buffer: NonNull<[u8]>) -> Moved<NonNull<[u8]>> {
    preempted!();
    simulated!(fd.as_raw_fd(), kernel => {
        let start = buffer.cast().as_ptr();
        // SAFETY: the caller vouches for the buffer, whose bytes need not be initialized.
        let space = unsafe { std::slice::from_raw_parts_mut(start, buffer.len()) };
        Moved { answer: kernel.recv_uninit(fd.as_raw_fd(), space).into(), bytes: buffer }
    });
    // SAFETY: the caller vouches for the buffer.
    let (answer, bytes) =
        unsafe { move_bytes(libc::SYS_recvfrom, fd.as_raw_fd(), buffer, libc::MSG_DONTWAIT) };
    Moved { answer: Answer::of(answer), bytes }
}

/// Receives into `buffer` and leaves the bytes in the queue: recv(2) with MSG_PEEK.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // It is not counted: the read that follows counts the same bytes.
    recv_flags(fd, buffer, libc::MSG_DONTWAIT | libc::MSG_PEEK)
}

/// Returns how many bytes a read of one would bring, and leaves them in the queue. Zero is the end.
///
/// An urgent byte right before the end is read past, since no look can: left in the queue, it would
/// make the close of the socket a reset, by which the peer loses what is on its way to it.
pub(crate) fn look(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let seen = peek(fd, &mut [0])?;
    if seen == 0 {
        // Nothing follows the end, so no byte is taken by this.
        let _ = recv_uncounted(fd, &mut [0]);
    }
    Ok(seen)
}

/// Returns `true` if an urgent byte has come or been announced. It lies beside the other bytes, and
/// no other read shows it. Without one, recv(2) with MSG_OOB answers EINVAL.
pub(crate) fn has_urgent(fd: BorrowedFd<'_>) -> bool {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_OOB;
    match recv_flags(fd, &mut [0], flags) {
        Ok(_) => true,
        // Announced, and still on its way: tcp(7).
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Receives into `buffer` without counting, for the request path: recv(2). As many bytes as it
/// returns are initialized then.
#[inline(always)]
pub(crate) fn recv_uninit(fd: BorrowedFd<'_>, buffer: &mut [MaybeUninit<u8>]) -> Answer {
    let buffer = NonNull::slice_from_raw_parts(NonNull::from(&mut *buffer).cast(), buffer.len());
    // SAFETY: `buffer` is writable for its length.
    unsafe { recv_at(fd, buffer) }.answer
}

/// Receives into `buffer` without counting, and returns the kernel's answer as it is: recv(2).
#[inline(always)]
pub(crate) fn recv_now<'a>(fd: BorrowedFd<'_>, buffer: &'a mut [u8]) -> Moved<&'a mut [u8]> {
    // SAFETY: `buffer` is writable for its length, and comes back as it was.
    unsafe {
        let Moved { answer, mut bytes } = recv_at(fd, NonNull::from(buffer));
        Moved { answer, bytes: bytes.as_mut() }
    }
}

/// Receives into `buffer` with `flags`: recvfrom(2).
#[inline(always)]
fn recv_flags(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    preempted!();
    simulated!(fd.as_raw_fd(), kernel => kernel.recv(fd.as_raw_fd(), buffer, flags));
    let [pointer, length] = [buffer.as_mut_ptr() as usize, buffer.len()];
    let arguments = [fd.as_raw_fd() as usize, pointer, length, flags as usize, 0, 0];
    // SAFETY: `buffer` is writable for `length` bytes, and no address is asked for.
    checked(unsafe { syscall(libc::SYS_recvfrom, arguments) })
}

/// Sends `bytes`: send(2).
#[inline(always)]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_uncounted(fd, bytes).inspect(|count| traffic::bytes_out(*count))
}

/// Sends as [`send`] does, without counting: the request path has a counter at hand.
#[inline(always)]
pub(crate) fn send_uncounted(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    send_now(fd, bytes).answer.result()
}

/// Sends as [`send_uncounted`] does, and returns the kernel's answer as it is.
#[inline(always)]
pub(crate) fn send_now(fd: impl AsRawFd, bytes: &[u8]) -> Moved<&[u8]> {
    preempted!();
    simulated!(fd.as_raw_fd(), kernel => {
        let answer = kernel.send(fd.as_raw_fd(), &[IoSlice::new(bytes)]).into();
        Moved { answer, bytes }
    });
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is readable for its length, and comes back as it was.
    unsafe {
        let (answer, bytes) =
            move_bytes(libc::SYS_sendto, fd.as_raw_fd(), NonNull::from(bytes), flags);
        Moved { answer: Answer::of(answer), bytes: bytes.as_ref() }
    }
}

/// The most slices that one sendmsg(2) or recvmsg(2) takes.
pub(crate) const MOST_SLICES: usize = libc::UIO_MAXIOV as usize;

/// Sends `slices`, at most as many as the kernel takes at once: sendmsg(2). Empty slices before the
/// first byte are skipped, so that they do not use up the places.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    send_vectored_now(fd, skip_empty(slices)).result().inspect(|count| traffic::bytes_out(*count))
}

/// Sends `slices` as they are, without counting: the request path has a counter at hand.
#[inline]
pub(crate) fn send_vectored_now(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Answer {
    preempted!();
    simulated!(fd.as_raw_fd(), kernel => {
        let slices = &slices[..slices.len().min(MOST_SLICES)];
        kernel.send(fd.as_raw_fd(), slices).into()
    });
    // SAFETY: all zeros is a valid msghdr: no address, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An IoSlice has the layout of an iovec by its documentation; sendmsg doesn't write to it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    // More than UIO_MAXIOV slices would be EMSGSIZE, with nothing sent.
    message.msg_iovlen = slices.len().min(MOST_SLICES) as _;
    let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
    let arguments = [fd.as_raw_fd() as usize, &raw const message as usize, flags, 0, 0, 0];
    // SAFETY: `message` names `msg_iovlen` slices that are readable for their lengths.
    Answer::of(unsafe { syscall(libc::SYS_sendmsg, arguments) })
}

/// Returns `slices` from the first on that is not empty.
#[inline]
pub(crate) fn skip_empty<S: Deref<Target = [u8]>>(slices: &[S]) -> &[S] {
    &slices[leading_empty(slices)..]
}

/// Returns how many of `slices` come before the first that is not empty.
#[inline]
fn leading_empty(slices: &[impl Deref<Target = [u8]>]) -> usize {
    slices.iter().position(|slice| !slice.is_empty()).unwrap_or(slices.len())
}

/// Receives into `slices`, at most as many as the kernel takes at once: recvmsg(2). Returns how
/// many bytes came, and for how many there was room. Empty slices before the first byte are
/// skipped.
pub(crate) fn recv_vectored(
    fd: BorrowedFd<'_>,
    slices: &mut [IoSliceMut<'_>],
) -> io::Result<(usize, usize)> {
    let first = leading_empty(slices);
    let slices = &mut slices[first..];
    let taken = slices.len().min(MOST_SLICES);
    let room = slices[..taken].iter().map(|slice| slice.len()).sum();
    preempted!();
    simulated!(fd.as_raw_fd(), kernel => {
        let count = kernel.recv_vectored(fd.as_raw_fd(), &mut slices[..taken])?;
        traffic::bytes_in(count);
        Ok((count, room))
    });
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

/// Reads from a descriptor that is not a socket: read(2). It is non-blocking.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    read_uncounted(fd, buffer).inspect(|count| traffic::bytes_in(*count))
}

/// Reads bytes that have been counted already when they came in.
pub(super) fn read_uncounted(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    simulated!(fd.as_raw_fd(), kernel => kernel.pipe_read(fd.as_raw_fd(), buffer));
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

/// Writes to a descriptor that is not a socket: write(2). It is non-blocking.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // write(2) has no MSG_NOSIGNAL, and the descriptor may be a pipe without a reader.
    NoSigpipe::new()
        .call(bytes.len(), || write_with_signal(fd, bytes))
        .inspect(|count| traffic::bytes_out(*count))
}

/// Does the work of [`write`], and raises SIGPIPE.
fn write_with_signal(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    simulated!(fd.as_raw_fd(), kernel => kernel.pipe_write(fd.as_raw_fd(), bytes));
    let arguments = [fd.as_raw_fd() as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: `bytes` is readable for its length.
    checked(unsafe { syscall(libc::SYS_write, arguments) })
}

/// Returns `true` if a socket has bytes to read.
///
/// FIONREAD would say no while an urgent byte is next, whatever follows it. What [`look`] does at
/// the end holds here too.
///
/// # Errors
///
/// Returns the connection's error. The kernel reports it only this once.
pub(crate) fn has_input(fd: BorrowedFd<'_>) -> io::Result<bool> {
    match look(fd) {
        Ok(count) => Ok(count > 0),
        // Nothing has come, or nothing ever comes on this socket.
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput => Ok(false),
            _ => Err(error),
        },
    }
}

/// Returns how many bytes a descriptor that is not a stream has to read: FIONREAD of ioctl(2).
pub(crate) fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    simulated!(fd.as_raw_fd(), kernel => kernel.unread(fd.as_raw_fd()));
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the pointer it is given.
    libc_answer(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(count.max(0) as usize)
}

/// Returns `true` if `fd` is open for writing only: fcntl(2).
pub(crate) fn is_write_only(fd: BorrowedFd<'_>) -> bool {
    simulated!(fd.as_raw_fd(), _kernel => false);
    // SAFETY: takes no pointers; the descriptor is open while borrowed.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_WRONLY
}
