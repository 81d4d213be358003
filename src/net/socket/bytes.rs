//! How bytes go in and out of a socket: what TCP streams and Unix streams share.
//!
//! An empty buffer is done at once and asks the kernel nothing: no byte has to come and no room is
//! needed for none, and an error of the connection stays for the call that moves bytes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use crate::parts::readiness::Direction;
use crate::sys::stream;

use crate::net::addr::Address;
use crate::net::socket::Socket;

impl Socket {
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

    #[inline]
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Write, |fd| self.write(fd, buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.registered.poll_io(cx, Direction::Write, |fd| self.write_vectored(fd, bufs))
    }

    /// What has been written is in the kernel already, but for what a handler had queued before.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered.poll_flushed(cx)
    }

    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.poll_flush(cx));
        Poll::Ready(flushed.and(self.shutdown(Shutdown::Write)))
    }

    /// shutdown(2), after what a handler had queued before.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registered.shut_down(how)
    }

    /// Looks at what there is without taking it. Any number of tasks may wait.
    pub(crate) async fn peek_bytes(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.peek(buf).await
    }

    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.registered.try_io(Direction::Read, |fd| self.read(fd, buf))
    }

    pub(crate) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.registered.try_io(Direction::Read, |fd| self.read_vectored(fd, bufs))
    }

    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.registered.try_io(Direction::Write, |fd| self.write(fd, buf))
    }

    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.registered.try_io(Direction::Write, |fd| self.write_vectored(fd, bufs))
    }

    #[inline(always)]
    pub(super) fn read(&self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        let received = stream::recv_uncounted(fd, buf);
        let Ok(count @ 1..) = received else { return self.received_nothing(received, buf) };
        let local = self.registered.local();
        local.recorder.bytes_in(count);
        if count < buf.len() {
            // The next one has to wait: it counts for itself.
            self.registered.short_read();
        } else {
            local.allowance.charge(count);
        }
        Ok(count)
    }

    /// No bytes: not yet, or never again.
    #[cold]
    fn received_nothing(&self, received: io::Result<usize>, buf: &[u8]) -> io::Result<usize> {
        self.note_read(received?, buf.len())?;
        Ok(0)
    }

    fn read_vectored(&self, fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (count, asked) = stream::recv_vectored(fd, bufs)?;
        self.note_read(count, asked)?;
        self.registered.local().allowance.charge(count);
        Ok(count)
    }

    /// A read that comes back short has taken all there is; the end is no such read.
    fn note_read(&self, count: usize, asked: usize) -> io::Result<()> {
        if count == 0 {
            return self.registered.earlier_failure().map_or(Ok(()), Err);
        }
        if count < asked {
            self.registered.short_read();
        }
        Ok(())
    }

    #[inline]
    fn write(&self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        match stream::send_uncounted(fd, buf) {
            Ok(count) => {
                let local = self.registered.local();
                local.recorder.bytes_out(count);
                local.allowance.charge(count);
                Ok(count)
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    fn write_vectored(&self, fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent = stream::send_vectored(fd, bufs).map_err(|error| self.explain(error));
        self.charged(sent)
    }

    /// An error of writing may have an earlier one behind it.
    #[cold]
    fn explain(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock {
            return error;
        }
        self.registered.earlier_failure().unwrap_or(error)
    }
}

/// A stream of bytes that comes in halves: a [`TcpStream`](crate::net::TcpStream) or a
/// [`UnixStream`](crate::net::UnixStream), and nothing else.
///
/// ```
/// use corepoll::net::{ByteStream, OwnedReadHalf, UnixStream};
///
/// /// Takes the half of either.
/// async fn first_byte<S: ByteStream>(reader: &OwnedReadHalf<S>) -> std::io::Result<Option<u8>> {
///     Ok(reader.read_chunk().await?.first().copied())
/// }
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     one.try_write(b"x")?;
///     assert_eq!(first_byte(&other.into_split().0).await?, Some(b'x'));
///     Ok(())
/// })
/// # }
/// ```
pub trait ByteStream: HasSocket + fmt::Debug {
    /// What its addresses are.
    type Addr: Address;
}

/// What is made of a socket: this seals [`ByteStream`].
pub trait HasSocket {
    /// What it is made of.
    fn socket(&self) -> &Socket;
}

/// futures-io's traits for types that have a `socket` to give.
macro_rules! byte_stream {
    ($($type:ty),+) => {$(
        impl futures_io::AsyncRead for $type {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_read_vectored(cx, bufs)
            }
        }

        impl futures_io::AsyncWrite for $type {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write_vectored(cx, bufs)
            }

            /// What has been written is in the kernel already, but for what a handler had queued
            /// before the stream was taken.
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_flush(cx)
            }

            /// Flushes, then shuts the write direction down: the peer reads the end. May be called
            /// twice.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_close(cx)
            }
        }
    )+};
}

pub(crate) use byte_stream;
