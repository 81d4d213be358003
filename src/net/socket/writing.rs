//! How bytes go out of a socket: what TCP streams and Unix streams share.
//!
//! As with a read ([`bytes`](super::bytes)), a call costs one system call when it succeeds, none while
//! there is no room, and one with an empty buffer asks the kernel nothing.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use crate::parts::readiness::Direction;
use crate::sys::stream;
use crate::sys::syscall::Answer;
use crate::task::coop::Allowance;

use crate::net::socket::Socket;

impl Socket {
    /// Polls for room, and writes as much of `buf` as there is room for.
    #[inline(always)]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_write_some(cx, buf)
    }

    /// Polls for room, and writes as much of `buf`, which isn't empty, as there is room for. As in
    /// [`Socket::receive_usual`], all that is rare is the last call of its path.
    #[inline(never)]
    fn poll_write_some(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let registered = &self.registered;
        if !registered.source().readiness.is_usual(Direction::Write) {
            return self.poll_write_rarely(cx, buf);
        }
        if !registered.local().allowance.take() {
            return self.poll_used_up(cx);
        }
        let answer = stream::send_now(registered.fd(), buf).answer;
        let Some(count) = answer.positive() else { return self.poll_sent_nothing(cx, answer) };
        registered.local().recorder.bytes_out(count);
        if Allowance::is_charged(count) {
            return self.note_rare_write(count);
        }
        Poll::Ready(Ok(count))
    }

    /// Does the work of [`Socket::poll_write_some`], where a write is not usual.
    #[cold]
    #[inline(never)]
    fn poll_write_rarely(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |fd| stream::send_now(fd, buf).answer)
    }

    /// Polls for room, and writes as much of `bufs` as there is room for.
    #[inline(never)]
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = stream::skip_empty(bufs);
        if bufs.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_send(cx, |fd| send_all(fd, bufs))
    }

    /// Polls for room, which `send` fills, whether or not a write is usual.
    #[inline(always)]
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl FnOnce(BorrowedFd<'_>) -> Answer,
    ) -> Poll<io::Result<usize>> {
        let registered = &self.registered;
        let is_ready = registered.is_ready(Direction::Write);
        if !is_ready || !registered.local().allowance.take() {
            return self.poll_unsendable(cx);
        }
        let answer = send(registered.fd());
        let Some(count) = answer.positive() else { return self.poll_sent_nothing(cx, answer) };
        registered.local().recorder.bytes_out(count);
        if Allowance::is_charged(count) || registered.source().readiness.is_timed() {
            return self.note_rare_write(count);
        }
        Poll::Ready(Ok(count))
    }

    /// Waits for room, or for the task's next turn if its allowance is used up.
    #[cold]
    #[inline(never)]
    fn poll_unsendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.registered.is_ready(Direction::Write) {
            return self.registered.poll_wait(cx, Direction::Write).map(Err);
        }
        self.poll_used_up(cx)
    }

    /// Takes note of a write that is charged by its bytes, or that starts a deadline anew. Returns
    /// what the poll returns.
    #[inline(never)]
    fn note_rare_write(&self, count: usize) -> Poll<io::Result<usize>> {
        self.registered.local().allowance.charge(count);
        self.registered.note_progress(Direction::Write);
        Poll::Ready(Ok(count))
    }

    /// Returns the error of a write, or the task waits for room.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_sent_nothing(
        &self,
        cx: &mut Context<'_>,
        answer: Answer,
    ) -> Poll<io::Result<usize>> {
        match self.check_sent(answer) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(error) => self.registered.poll_failed(cx, Direction::Write, error).map(Err),
        }
    }

    /// Writes as much of `buf` as there is room for, without waiting.
    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.registered
            .try_io(Direction::Write, |fd| self.check_sent(stream::send_now(fd, buf).answer))
    }

    /// Writes as much of `bufs` as there is room for, without waiting.
    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = stream::skip_empty(bufs);
        if bufs.is_empty() {
            return Ok(0);
        }
        self.registered.try_io(Direction::Write, |fd| self.check_sent(send_all(fd, bufs)))
    }

    /// Takes note of what send(2) or sendmsg(2) has answered.
    fn check_sent(&self, answer: Answer) -> io::Result<usize> {
        let count = answer.result().map_err(|error| self.explain(error))?;
        let local = self.registered.local();
        local.recorder.bytes_out(count);
        local.allowance.charge(count);
        Ok(count)
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

/// Calls sendmsg(2) once, or send(2) for a single buffer, as rustls and h2 often have it: that call
/// does with less. The first of `bufs` is not empty, so that such use up no places.
#[inline]
fn send_all(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> Answer {
    match bufs {
        [buf] => stream::send_now(fd, buf).answer,
        _ => stream::send_vectored_now(fd, bufs),
    }
}
