//! A connection whose first bytes have been read already.
//!
//! A client of HTTP/2 begins with 24 bytes that are no request of HTTP/1. So the first bytes are
//! read here, and given to hyper when it reads: telling the versions apart costs no system call, and
//! needs no look at ALPN.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::head_timer::Output;

/// What a client of HTTP/2 sends first: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// As much as is read at a time. The head of a request fits, as a rule, so that it takes one read.
const ROOM: usize = 4096;

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
pub(crate) struct Prefixed<I> {
    /// The connection.
    io: I,
    /// The bytes that have been read, and that hyper has not taken yet.
    prefix: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
    /// What is told of writes and flushes, on a connection of HTTP/1.
    output: Option<Output>,
}

impl<I> Prefixed<I> {
    /// Returns the connection with nothing read.
    pub(super) fn new(io: I) -> Prefixed<I> {
        Prefixed { io, prefix: Vec::new(), taken: 0, output: None }
    }

    /// Returns what tells whether hyper has output left, from now on.
    pub(super) fn watch_output(&mut self) -> Output {
        self.output.get_or_insert_default().clone()
    }

    /// Notes a write, or the flush that comes when all is written.
    #[inline]
    fn note_output(&self, is_waiting: bool) {
        if let Some(output) = &self.output {
            output.set_waiting(is_waiting);
        }
    }

    /// Returns `true` if nothing has been read that hyper has not taken.
    pub(super) fn is_taken(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Returns the connection, and what hyper has not taken.
    pub(crate) fn into_parts(mut self) -> (I, Vec<u8>) {
        self.prefix.drain(..self.taken);
        (self.io, self.prefix)
    }
}

impl<I: Read + Unpin> Prefixed<I> {
    /// Reads as much as tells the protocol.
    ///
    /// # Cancel safety
    ///
    /// What was read before the future is dropped is kept.
    pub(super) async fn look(&mut self) -> io::Result<Begins> {
        let Prefixed { io, prefix, .. } = self;
        poll_fn(|cx| {
            loop {
                let count = ready!(poll_take(io, cx, |bytes| prefix.extend_from_slice(bytes)))?;
                let known = prefix.len().min(PREFACE.len());
                let begins = match () {
                    () if prefix[..known] != PREFACE[..known] => Begins::Http1,
                    () if known == PREFACE.len() => Begins::Http2,
                    () if prefix.is_empty() => Begins::Nothing,
                    // The connection has ended in the preface, which hyper says well.
                    () if count == 0 => Begins::Http2,
                    () => continue,
                };
                return Poll::Ready(Ok(begins));
            }
        })
        .await
    }

    /// Reads and throws away what the peer still sends, until its end or an error, and no more than
    /// `most` bytes.
    pub(super) async fn discard(&mut self, most: usize) {
        let mut left = most;
        poll_fn(|cx| {
            while left > 0 {
                match ready!(poll_take(&mut self.io, cx, |_bytes| {})) {
                    Ok(count @ 1..) => left = left.saturating_sub(count),
                    _ => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Reads what is there, and gives it to `take`. Returns the number of bytes; 0 is the end.
///
/// The memory is on the stack, so that a connection that waits for its first bytes holds none.
fn poll_take<I: Read + Unpin>(
    io: &mut I,
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    let mut room = [MaybeUninit::<u8>::uninit(); ROOM];
    let mut buffer = ReadBuf::uninit(&mut room);
    ready!(Pin::new(io).poll_read(cx, buffer.unfilled()))?;
    take(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
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
                (self.prefix, self.taken) = (Vec::new(), 0);
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
        self.note_output(true);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note_output(true);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note_output(false);
        Pin::new(&mut self.io).poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
