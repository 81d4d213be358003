//! The calls of urgent data that the crate never makes, for programs that do.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::syscall::libc_answer;

/// The request of ioctl(2) that libc has no name for.
const SIOCATMARK: libc::Ioctl = 0x8905;

/// Sends bytes of which the last is urgent: send(2) with MSG_OOB.
pub(super) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    simulated!(fd.as_raw_fd(), kernel => {
        kernel.run_due();
        kernel.tcp_send_flags(fd.as_raw_fd(), &[io::IoSlice::new(bytes)], libc::MSG_OOB)
    });
    let flags = libc::MSG_OOB | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is readable for its length.
    let sent = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Takes the urgent byte: recv(2) with MSG_OOB.
pub(super) fn recv(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut byte = [0];
    simulated!(fd.as_raw_fd(), kernel => {
        let count = kernel.recv(fd.as_raw_fd(), &mut byte, libc::MSG_OOB)?;
        Ok(byte[..count].to_vec())
    });
    let flags = libc::MSG_OOB | libc::MSG_DONTWAIT;
    // SAFETY: `byte` is writable for one byte.
    let got = unsafe { libc::recv(fd.as_raw_fd(), byte.as_mut_ptr().cast(), 1, flags) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(byte[..got as usize].to_vec()) }
}

/// Returns `true` if the next byte is the urgent one: SIOCATMARK of ioctl(2).
pub(super) fn is_at_mark(fd: BorrowedFd<'_>) -> io::Result<bool> {
    simulated!(fd.as_raw_fd(), kernel => kernel.at_mark(fd.as_raw_fd()));
    let mut answer: libc::c_int = 0;
    // SAFETY: SIOCATMARK writes one int to the pointer that it is given.
    libc_answer(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCATMARK, &mut answer) })?;
    Ok(answer != 0)
}

/// Lets urgent bytes stay in the stream: SO_OOBINLINE.
pub(super) fn set_inline(fd: BorrowedFd<'_>) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => kernel.set_urgent_inline(fd.as_raw_fd()));
    socket2::SockRef::from(&fd).set_out_of_band_inline(true)
}
