//! What TCP streams and Unix streams share: how bytes go in and out of a registered socket.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::parts::buffers::Chunk;
use crate::parts::readiness::Direction;
use crate::poller::source::Registered;
use crate::sys::stream;

impl Registered {
    #[inline]
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Read, |fd| self.recv(fd, buf))
    }

    pub(super) fn poll_recv_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Read, |fd| self.recv_vectored(fd, bufs))
    }

    #[inline]
    pub(super) fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, |fd| self.send(fd, buf))
    }

    pub(super) fn poll_send_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Write, |fd| self.send_vectored(fd, bufs))
    }

    pub(super) fn read_chunk(&self) -> ReadChunk<'_> {
        ReadChunk { registered: self }
    }

    pub(super) async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_io(cx, Direction::Read, |fd| stream::peek(fd, buf))).await
    }

    pub(super) fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io(Direction::Read, |fd| self.recv(fd, buf))
    }

    pub(super) fn try_recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.try_io(Direction::Read, |fd| self.recv_vectored(fd, bufs))
    }

    pub(super) fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_io(Direction::Write, |fd| self.send(fd, buf))
    }

    pub(super) fn try_send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Direction::Write, |fd| self.send_vectored(fd, bufs))
    }

    #[inline(always)]
    fn recv(&self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        let received = stream::recv_uncounted(fd, buf);
        let Ok(count @ 1..) = received else { return self.received_nothing(received, buf) };
        self.local().recorder.bytes_in(count);
        if count < buf.len() {
            self.short_read();
        }
        Ok(count)
    }

    /// No bytes: not yet, or never again.
    #[cold]
    fn received_nothing(&self, received: io::Result<usize>, buf: &[u8]) -> io::Result<usize> {
        self.note_read(received?, buf.len())?;
        Ok(0)
    }

    fn recv_vectored(&self, fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        let count = stream::recv_vectored(fd, bufs)?;
        self.note_read(count, asked)?;
        Ok(count)
    }

    /// A read that comes back short has taken all there is; the end is no such read.
    fn note_read(&self, count: usize, asked: usize) -> io::Result<()> {
        if count == 0 {
            return self.earlier_failure().map_or(Ok(()), Err);
        }
        if count < asked {
            self.short_read();
        }
        Ok(())
    }

    #[inline]
    fn send(&self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        match stream::send_uncounted(fd, buf) {
            Ok(count) => {
                self.local().recorder.bytes_out(count);
                Ok(count)
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    fn send_vectored(&self, fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        stream::send_vectored(fd, bufs).map_err(|error| self.explain(error))
    }

    /// An error of writing may have an earlier one behind it.
    #[cold]
    fn explain(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::WouldBlock {
            return error;
        }
        self.earlier_failure().unwrap_or(error)
    }

    /// What has been written is in the kernel already, but for what a handler had queued before.
    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.poll_paid(cx));
        Poll::Ready(flushed.and(self.shut_down(Shutdown::Write)))
    }
}

/// The future of `read_chunk`: [`TcpStream::read_chunk`](crate::net::TcpStream::read_chunk).
#[must_use = "a future does nothing until it is awaited"]
pub struct ReadChunk<'a> {
    registered: &'a Registered,
}

impl<'a> Future for ReadChunk<'a> {
    type Output = io::Result<Chunk<'a>>;

    // Always: a chunk that stays in registers saves a tenth of the whole path.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Chunk<'a>>> {
        let registered = self.registered;
        if !registered.is_ready(Direction::Read) {
            return registered.poll_wait(cx, Direction::Read).map(Err);
        }
        let local = registered.local();
        ready!(local.allowance.poll_proceed(cx));
        let buffers = &local.buffers;
        let mut buffer = buffers.take().unwrap_or_else(|| buffers.another());
        let failure = match registered.recv(registered.fd(), &mut buffer) {
            Ok(count) => {
                registered.moved(Direction::Read);
                return Poll::Ready(Ok(buffers.chunk(buffer, count)));
            }
            Err(error) => registered.poll_failed(cx, Direction::Read, error),
        };
        buffers.take_back(buffer);
        failure.map(Err)
    }
}

impl fmt::Debug for ReadChunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadChunk").field("fd", &self.registered.fd()).finish()
    }
}

/// futures-io's traits for a type with a field `registered`, and for references to it.
macro_rules! byte_stream {
    ($type:ty) => {
        impl futures_io::AsyncRead for &$type {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.registered.poll_recv(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.registered.poll_recv_vectored(cx, bufs)
            }
        }

        impl futures_io::AsyncWrite for &$type {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.registered.poll_send(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.registered.poll_send_vectored(cx, bufs)
            }

            /// What has been written is in the kernel already, but for what a handler had queued
            /// before the stream was taken.
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.registered.poll_paid(cx)
            }

            /// Flushes, then shuts the write direction down: the peer reads the end. May be called
            /// twice.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.registered.poll_close(cx)
            }
        }

        impl futures_io::AsyncRead for $type {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read_vectored(cx, bufs)
            }
        }

        impl futures_io::AsyncWrite for $type {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_close(cx)
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.registered.lend()
            }
        }
    };
}

pub(super) use byte_stream;
