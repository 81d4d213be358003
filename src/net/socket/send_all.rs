//! Writing all of some bytes, by a future that knows the socket.
//!
//! `write_all` of futures-io's extension trait does the same for any writer: it calls `poll_write` until
//! nothing is left, and keeps what is left after each call. Nearly always one call takes everything, so
//! that this future makes that call itself, and keeps nothing before it has to wait.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::parts::readiness::Direction;
use crate::sys::stream;
use crate::sys::syscall::Answer;
use crate::task::coop::Allowance;

use crate::net::socket::Socket;

/// The future of [`TcpStream::send_all`](crate::net::TcpStream::send_all) and its like: it writes
/// bytes until all of them have been taken.
///
/// # Examples
///
/// ```
/// # use corepoll::net::{SendAll, UnixStream};
/// # corepoll::block_on(async {
/// let (one, other) = UnixStream::pair()?;
/// let sent: SendAll<'_> = one.send_all(b"hello");
/// sent.await?;
/// assert_eq!(&*other.read_chunk().await?, b"hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct SendAll<'a> {
    /// The socket that is written to.
    socket: &'a Socket,
    /// What has not been taken yet.
    rest: &'a [u8],
}

impl<'a> SendAll<'a> {
    /// Returns the future that writes `bytes` to `socket`.
    #[inline]
    pub(crate) fn of(socket: &'a Socket, bytes: &'a [u8]) -> SendAll<'a> {
        SendAll { socket, rest: bytes }
    }
}

impl Future for SendAll<'_> {
    type Output = io::Result<()>;

    // Inlined always: the usual write is a few instructions around its system call.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (registered, length) = (&this.socket.registered, this.rest.len());
        let (source, local) = (registered.source(), &**registered.local());
        let is_small = length > 0 && !Allowance::is_charged(length);
        if !is_small || !source.readiness.is_usual(Direction::Write) {
            return this.poll_rest(cx);
        }
        ready!(local.allowance.poll_proceed(cx));
        let sent = stream::send_now(registered.as_raw_fd(), this.rest);
        if sent.is_all() {
            local.recorder.bytes_out(sent.bytes.len());
            return Poll::Ready(Ok(()));
        }
        this.poll_answered(cx, sent.answer)
    }
}

impl SendAll<'_> {
    /// Goes on after a write that has not taken everything.
    #[cold]
    #[inline(never)]
    fn poll_answered(&mut self, cx: &mut Context<'_>, answer: Answer) -> Poll<io::Result<()>> {
        let sent = ready!(self.socket.poll_sent_nothing(cx, answer))?;
        self.rest = &self.rest[sent..];
        self.poll_rest(cx)
    }

    /// Writes until nothing is left.
    #[cold]
    #[inline(never)]
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let sent = ready!(self.socket.poll_write(cx, self.rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest = &self.rest[sent..];
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for SendAll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendAll")
            .field("fd", &self.socket.fd())
            .field("left", &self.rest.len())
            .finish()
    }
}
