//! A connection whose first bytes have been read already.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

/// What a client of HTTP/2 sends first: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// As much as is read at first. Most requests fit, so that looking at them costs no system call more.
const FIRST_READ: usize = 1024;

/// The protocol that a client begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// With a request of HTTP/1, or with something that is neither.
    Http1,
    /// With the preface of HTTP/2.
    Http2,
    /// With the end of the connection.
    Nothing,
}

/// A connection, and what has been read of it.
#[derive(Debug)]
pub(super) struct Prefixed<I> {
    /// The connection.
    io: I,
    /// The bytes that have been read.
    prefix: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
}

impl<I: Read + Unpin> Prefixed<I> {
    /// Returns the connection with nothing read.
    pub(super) fn new(io: I) -> Prefixed<I> {
        Prefixed { io, prefix: Vec::new(), taken: 0 }
    }

    /// Reads as much as tells the protocol.
    pub(super) async fn look(&mut self) -> io::Result<Begins> {
        let mut bytes = vec![0; FIRST_READ];
        let mut length = 0;
        loop {
            let count = poll_fn(|cx| {
                let mut room = ReadBuf::new(&mut bytes[length..]);
                ready!(Pin::new(&mut self.io).poll_read(cx, room.unfilled()))?;
                Poll::Ready(io::Result::Ok(room.filled().len()))
            });
            let count = count.await?;
            length += count;
            let known = length.min(PREFACE.len());
            let begins = match () {
                () if bytes[..known] != PREFACE[..known] => Begins::Http1,
                () if known == PREFACE.len() => Begins::Http2,
                () if length == 0 => Begins::Nothing,
                // The connection has ended in the preface, which hyper says well.
                () if count == 0 => Begins::Http2,
                () => continue,
            };
            bytes.truncate(length);
            self.prefix = bytes;
            return Ok(begins);
        }
    }
}

impl<I: Read + Unpin> Read for Prefixed<I> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let rest = &self.prefix[self.taken..];
            let count = rest.len().min(cursor.remaining());
            cursor.put_slice(&rest[..count]);
            self.taken += count;
            if self.taken == self.prefix.len() {
                self.prefix = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, cursor)
    }
}

impl<I: Write + Unpin> Write for Prefixed<I> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
