//! Bytes of a file, to a socket or into memory.
//!
//! The offset is always given, and the file's own is neither used nor moved: several connections
//! may be sending the same file.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::sigpipe::NoSigpipe;
use super::traffic;

/// The most bytes that one sendfile(2) moves, by its man page.
const MOST_AT_ONCE: usize = 0x7fff_f000;

/// Sends at most `count` bytes of `file` to `target` without a copy through user memory, from
/// `offset` on: sendfile(2). Returns 0 if the file has no bytes there.
///
/// [`NoSigpipe`] costs two more system calls, or three if fewer than `count` bytes went. That is
/// little beside the bytes that one call moves, which is as many as the send buffer has room for.
pub(crate) fn send_file(
    target: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let offset = file_offset(offset)?;
    let count = count.min(MOST_AT_ONCE);
    NoSigpipe::new()
        .call(count, || send_file_with_signal(target, file, offset, count))
        .inspect(|count| traffic::bytes_out(*count))
}

/// Does the work of [`send_file`], and raises SIGPIPE.
fn send_file_with_signal(
    target: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    mut offset: libc::off_t,
    count: usize,
) -> io::Result<usize> {
    preempted!();
    simulated!(target.as_raw_fd(), kernel => {
        kernel.send_file(target.as_raw_fd(), file, offset as u64, count)
    });
    // SAFETY: both descriptors are open while borrowed, and `offset` is read and written by the
    // kernel as an off_t.
    let sent = unsafe { libc::sendfile(target.as_raw_fd(), file.as_raw_fd(), &mut offset, count) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Reads from `file` at `offset`: pread(2). Returns 0 if the file has no bytes there.
pub(crate) fn read_at(file: BorrowedFd<'_>, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let offset = file_offset(offset)?;
    // SAFETY: `buffer` is writable for its length.
    let read =
        unsafe { libc::pread(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(read as usize) }
}

/// Converts an offset to the kernel's type, which has a sign.
fn file_offset(offset: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
}
