//! How bytes come out of a socket, and how a stream ends: what TCP streams and Unix streams share.
//!
//! A call with an empty buffer returns `Ok(0)` at once and asks the kernel nothing: it needs
//! neither bytes nor room, and an error of the connection is left to the call that moves bytes.
//!
//! Each call costs one system call when it succeeds, and none when nothing can have come: readiness
//! is kept from the event until a call finds the socket empty or full. A read that is shorter than
//! its buffer has emptied the socket (epoll(7), question 9), which saves the read that would find
//! so.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use crate::local::source::Source;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::stream::{self, Moved};
use crate::sys::syscall::Answer;

use crate::net::socket::Socket;

impl Socket {
    /// Polls for bytes, and reads them into `buf`.
    #[inline(always)]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.registered.source().readiness.is_usual(Direction::Read) {
            return self.receive_usual(cx, buf);
        }
        self.poll_receive(cx, buf)
    }

    /// Polls for bytes, and reads them into `buf`, whose first bytes are initialized then.
    #[inline(never)]
    pub(crate) fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = buf.len();
        self.poll_recv(cx, room, |fd| stream::recv_uninit(fd, buf))
    }

    /// Reads into `buf`, where a read is usual. Everything but the usual answer is the last call of a
    /// path, so that this one saves few registers.
    #[inline(never)]
    fn receive_usual(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let registered = &self.registered;
        if !registered.local().allowance.take() {
            return self.poll_used_up(cx);
        }
        let Moved { answer, bytes: buf } = stream::recv_now(registered.fd(), buf);
        let Some(count) = answer.positive() else { return self.poll_received_nothing(cx, answer) };
        registered.local().recorder.bytes_in(count);
        if count >= buf.len() {
            return self.note_rare_read(count, buf.len());
        }
        registered.source().readiness.drained();
        Poll::Ready(Ok(count))
    }

    /// Waits for the task's next turn, as its allowance is used up.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_used_up(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.registered.local().allowance.used_up(cx).map(|()| Ok(0))
    }

    /// Polls for bytes where a read is not usual: nearly always the task has to wait.
    #[inline(never)]
    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.registered.source().readiness.wait_again(cx, Direction::Read) {
            return Poll::Pending;
        }
        self.poll_receive_rarely(cx, buf)
    }

    /// Does the work of [`Socket::poll_receive`], if the task doesn't just wait again.
    #[cold]
    #[inline(never)]
    fn poll_receive_rarely(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buf.len();
        self.poll_recv(cx, room, |fd| stream::recv_now(fd, buf).answer)
    }

    /// Polls for bytes, which `receive` writes into a buffer of `room` bytes, whether or not a read is
    /// usual.
    #[inline(always)]
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        receive: impl FnOnce(BorrowedFd<'_>) -> Answer,
    ) -> Poll<io::Result<usize>> {
        let registered = &self.registered;
        if !registered.is_ready(Direction::Read) {
            return registered.poll_bytes(cx);
        }
        // The check above costs no allowance: a task that only waits has done nothing.
        if !registered.local().allowance.take() {
            return registered.local().allowance.used_up(cx).map(|()| Ok(0));
        }
        let answer = receive(registered.fd());
        let Some(count) = answer.positive() else { return self.poll_received_nothing(cx, answer) };
        self.note_received(registered.local(), registered.source(), count, room);
        Poll::Ready(Ok(count))
    }

    /// Returns what a read without bytes means: the end of the stream or an error, or the task
    /// waits.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_received_nothing(
        &self,
        cx: &mut Context<'_>,
        answer: Answer,
    ) -> Poll<io::Result<usize>> {
        match self.received_nothing(answer.result()) {
            Ok(count) => {
                self.registered.note_progress(Direction::Read);
                Poll::Ready(Ok(count))
            }
            Err(error) => self.registered.poll_failed(cx, Direction::Read, error).map(Err),
        }
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

    /// Calls recv(2) once.
    fn read(&self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        let answer = stream::recv_now(fd, buf).answer;
        let Some(count) = answer.positive() else { return self.received_nothing(answer.result()) };
        let registered = &self.registered;
        self.note_received(registered.local(), registered.source(), count, room);
        Ok(count)
    }

    /// Takes note of `count` bytes that have been received into a buffer of `room` bytes. `local` and
    /// `source` are the socket's own.
    #[inline(always)]
    pub(super) fn note_received(&self, local: &Local, source: &Source, count: usize, room: usize) {
        local.recorder.bytes_in(count);
        // Nearly always the socket is empty now: the next read has to wait, and costs the task its
        // turn anyway. So this one isn't charged by its bytes.
        if count < room && source.readiness.is_usual(Direction::Read) {
            source.readiness.drained();
        } else {
            let _ = self.note_rare_read(count, room);
        }
    }

    /// Takes note of a read that has filled its buffer, or that starts a deadline anew. Returns what
    /// the poll returns.
    #[inline(never)]
    pub(super) fn note_rare_read(&self, count: usize, room: usize) -> Poll<io::Result<usize>> {
        if count < room {
            self.registered.note_short_read();
        } else {
            self.registered.local().allowance.charge(count);
        }
        self.registered.note_progress(Direction::Read);
        Poll::Ready(Ok(count))
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
}
