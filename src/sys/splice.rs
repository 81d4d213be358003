//! Bytes from socket to socket without a copy: splice(2), with a pipe in between.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::fd::OwnedFd;
use super::sigpipe::NoSigpipe;
use super::stream;
use super::syscall::{Answer, libc_answer, syscall};

/// The capacity of a pipe without any settings: pipe(7).
const LEAST_CAPACITY: usize = 64 * 1024;

/// A pipe that no other code knows. Both ends are CLOEXEC and non-blocking: pipe(7).
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The end that bytes come out of.
    reader: OwnedFd,
    /// The end that bytes go into.
    writer: OwnedFd,
}

impl Pipe {
    /// Creates a pipe that holds `capacity` bytes, or as many as the system's default.
    ///
    /// # Errors
    ///
    /// Returns the errors of pipe2(2); and `QuotaExceeded` if the user has so many pipes that the
    /// kernel makes new ones tiny (/proc/sys/fs/pipe-user-pages-soft), so that a copy is cheaper.
    pub(crate) fn new(capacity: usize) -> io::Result<Pipe> {
        let ([reader, writer], given) = pipe(capacity)?;
        if given < LEAST_CAPACITY {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Pipe { reader, writer })
    }

    /// Moves up to `most` bytes from the socket `from` into the pipe.
    ///
    /// If it moves none, the answer is a hint: 0 at the end of the stream, `WouldBlock` at an empty
    /// socket. At urgent data the kernel gives either answer although bytes follow.
    pub(crate) fn fill(&self, from: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        splice(from, self.writer.as_fd(), most)
    }

    /// Moves up to `most` bytes from the pipe to the socket `to`. If the pipe is not empty,
    /// `WouldBlock` means that the socket takes nothing.
    ///
    /// A socket whose peer is gone raises SIGPIPE, and splice has no flag against that, so `quiet`
    /// blocks the signal.
    pub(crate) fn drain(
        &self,
        to: BorrowedFd<'_>,
        most: usize,
        quiet: &NoSigpipe,
    ) -> io::Result<usize> {
        quiet.call(most, || splice(self.reader.as_fd(), to, most))
    }

    /// Copies bytes out of the pipe.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        stream::read_uncounted(self.reader.as_fd(), buffer)
    }
}

/// Makes a pipe, and asks for a capacity: pipe2(2), F_SETPIPE_SZ of fcntl(2). Returns the end that
/// bytes come out of, the one that they go into, and the capacity that it has.
pub(super) fn pipe(capacity: usize) -> io::Result<([OwnedFd; 2], usize)> {
    simulated!(kernel => {
        let (ends, given) = kernel.pipe_create(capacity)?;
        Ok((ends.map(OwnedFd::from), given))
    });
    let mut ends: [libc::c_int; 2] = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    libc_answer(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: the kernel just gave us both descriptors, and no other code has them.
    let ends = ends.map(|end| unsafe { OwnedFd::from_raw(end) });
    let writer = ends[1].as_raw_fd();
    let size = libc::c_int::try_from(capacity).unwrap_or(libc::c_int::MAX);
    // SAFETY: takes no pointers. When it fails the pipe is as large as it was.
    let mut given = unsafe { libc::fcntl(writer, libc::F_SETPIPE_SZ, size) };
    if given < 0 {
        // SAFETY: takes no pointers.
        given = unsafe { libc::fcntl(writer, libc::F_GETPIPE_SZ) };
    }
    Ok((ends, given.max(0) as usize))
}

/// Moves up to `most` bytes between a pipe and a socket: splice(2).
pub(super) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    preempted!();
    simulated!(kernel => kernel.splice(from.as_raw_fd(), to.as_raw_fd(), most));
    // SPLICE_F_NONBLOCK is about the pipe; what a socket does is decided by its own O_NONBLOCK.
    // SPLICE_F_MOVE is a hint, which kernels since 2.6.21 ignore.
    let flags = (libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK) as usize;
    let arguments = [from.as_raw_fd() as usize, 0, to.as_raw_fd() as usize, 0, most, flags];
    loop {
        // SAFETY: both offsets are null, as they are for pipes and sockets.
        match Answer::of(unsafe { syscall(libc::SYS_splice, arguments) }).result() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Returns `true` if the kernel has refused splice(2) or sendfile(2), so that the bytes are to be
/// copied; otherwise the connection has failed.
///
/// The descriptors may be of a kind that has no splice, the kernel or a container's profile may
/// have no such call, or there may be no memory for it.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    const REFUSALS: [i32; 6] =
        [libc::EINVAL, libc::ENOSYS, libc::EPERM, libc::EACCES, libc::EOPNOTSUPP, libc::ENOMEM];
    error.raw_os_error().is_some_and(|errno| REFUSALS.contains(&errno))
}
