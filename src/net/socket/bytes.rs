//! How bytes go in and out of a socket: what TCP streams and Unix streams share.
//!
//! A call with an empty buffer returns `Ok(0)` at once and asks the kernel nothing: it needs
//! neither bytes nor room, and an error of the connection is left to the call that moves bytes.
//!
//! Each call costs one system call when it succeeds, and none when nothing can have come: readiness
//! is kept from the event until a call finds the socket empty or full. A read that is shorter than
//! its buffer has emptied the socket (epoll(7), question 9), which saves the read that would find
//! so.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use crate::parts::readiness::Direction;
use crate::sys::stream;

use crate::net::socket::Socket;

impl Socket {
    /// Polls for bytes, and reads them into `buf`.
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Read, |fd| self.read(fd, buf))
    }

    /// Polls for bytes, and reads them into `buf`, whose first bytes are initialized then.
    #[inline]
    pub(crate) fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Read, |fd| {
            let room = buf.len();
            self.check_received(stream::recv_uninit(fd, buf), room)
        })
    }

    /// Polls for bytes, and reads them into `bufs`, one after the other.
    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Read, |fd| self.read_vectored(fd, bufs))
    }

    /// Polls for room, and writes as much of `buf` as there is room for.
    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Write, |fd| self.write(fd, buf))
    }

    /// Polls for room, and writes as much of `bufs` as there is room for.
    #[inline]
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = stream::skip_empty(bufs);
        if bufs.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Write, |fd| self.write_vectored(fd, bufs))
    }

    /// Polls until the output that a handler had queued is in the kernel. What the stream itself
    /// has written is there already.
    #[inline]
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered.poll_flushed(cx)
    }

    /// Flushes, then shuts the write direction down, whether or not flushing has failed.
    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.poll_flush(cx));
        // SHUT_WR queues a FIN behind what is in the send buffer, and waits for nothing. The peer
        // gets its end even if flushing has failed.
        Poll::Ready(flushed.and(self.shutdown(Shutdown::Write)))
    }

    /// Shuts directions down, writing only after the output that a handler had queued: shutdown(2).
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registered.shutdown(how)
    }

    /// Waits for bytes, and copies them into `buf` without taking them. Any number of tasks may
    /// wait.
    pub(crate) async fn peek_bytes(&self, buf: &mut [u8]) -> io::Result<usize> {
        // Unlike a datagram, a stream has nothing to say to an empty buffer.
        if buf.is_empty() {
            return Ok(0);
        }
        self.peek(buf).await
    }

    /// Polls for bytes, and copies them into `buf` without taking them.
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // The bytes are not charged to the allowance: nothing was taken, so nothing counts as
        // received.
        self.registered.poll_io(cx, Direction::Read, |fd| stream::peek(fd, buf))
    }

    /// Reads into `buf` without waiting.
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.registered.try_io(Direction::Read, |fd| self.read(fd, buf))
    }

    /// Reads into `bufs`, one after the other, without waiting.
    pub(crate) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.registered.try_io(Direction::Read, |fd| self.read_vectored(fd, bufs))
    }

    /// Writes as much of `buf` as there is room for, without waiting.
    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.registered.try_io(Direction::Write, |fd| self.write(fd, buf))
    }

    /// Writes as much of `bufs` as there is room for, without waiting.
    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = stream::skip_empty(bufs);
        if bufs.is_empty() {
            return Ok(0);
        }
        self.registered.try_io(Direction::Write, |fd| self.write_vectored(fd, bufs))
    }

    /// Calls recv(2) once.
    #[inline(always)]
    pub(super) fn read(&self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        self.check_received(stream::recv_uncounted(fd, buf), room)
    }

    /// Takes note of what recv(2) has answered to a buffer of `room` bytes.
    #[inline(always)]
    fn check_received(&self, received: io::Result<usize>, room: usize) -> io::Result<usize> {
        let Ok(count @ 1..) = received else { return self.received_nothing(received) };
        self.note_received(count, room);
        Ok(count)
    }

    /// Takes note of `count` bytes that have been received into a buffer of `room` bytes.
    #[inline(always)]
    pub(super) fn note_received(&self, count: usize, room: usize) {
        let local = self.registered.local();
        local.recorder.bytes_in(count);
        if count < room {
            // The socket is empty now: the next read has to wait, and costs the task its turn
            // anyway. So this one isn't charged by its bytes.
            self.registered.note_short_read();
        } else {
            local.allowance.charge(count);
        }
    }

    /// Returns what a read without bytes means: an error, or the end of the stream.
    #[cold]
    pub(super) fn received_nothing(&self, received: io::Result<usize>) -> io::Result<usize> {
        match received? {
            // The kernel tells of an error once, and may have told it to an earlier send of a
            // handler's output. What looks like the end is that error then.
            0 => self.registered.take_carryover_error().map_or(Ok(0), Err),
            count => Ok(count),
        }
    }

    /// Calls recvmsg(2) once.
    fn read_vectored(&self, fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (count, room) = stream::recv_vectored(fd, bufs)?;
        if count == 0 {
            return self.received_nothing(Ok(0));
        }
        // msg_iov has at most UIO_MAXIOV buffers (1024): `room` is that of those which were passed.
        if count < room {
            // All buffers together were longer than what was there.
            self.registered.note_short_read();
        }
        self.registered.local().allowance.charge(count);
        Ok(count)
    }

    /// Calls send(2) once.
    #[inline]
    fn write(&self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        self.note_sent(stream::send_uncounted(fd, buf))
    }

    /// Calls sendmsg(2) once, or send(2) for a single buffer, as rustls and h2 often have it: that
    /// call does with less. The first of `bufs` is not empty, so that such use up no places.
    #[inline]
    fn write_vectored(&self, fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.note_sent(match bufs {
            [buf] => stream::send_uncounted(fd, buf),
            _ => stream::send_vectored_uncounted(fd, bufs),
        })
    }

    /// Takes note of what send(2) or sendmsg(2) has answered.
    #[inline(always)]
    fn note_sent(&self, sent: io::Result<usize>) -> io::Result<usize> {
        match sent {
            Ok(count) => {
                let local = self.registered.local();
                local.recorder.bytes_out(count);
                local.allowance.charge(count);
                Ok(count)
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Returns the error that ended the connection, if `error` only follows from it.
    #[cold]
    fn explain(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock {
            return error;
        }
        // EPIPE and ECONNRESET only say that the connection is over. The reason may have been told
        // to the sending of a handler's output before.
        self.registered.take_carryover_error().unwrap_or(error)
    }
}
