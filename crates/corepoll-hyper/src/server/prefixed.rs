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

use super::watch::Watch;

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
    /// What has been read, and hyper has not taken yet; `None` if nothing is left. In a box, as most connections
    /// have none for most of the time.
    prefix: Option<Box<Prefix>>,
    /// What is told of reads, writes and flushes, while hyper serves HTTP/1.
    watch: Option<Watch>,
}

/// Bytes that have been read. There are some that are not taken.
#[derive(Debug, Default)]
struct Prefix {
    /// The bytes.
    bytes: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
}

impl<I> Prefixed<I> {
    /// Returns the connection with nothing read.
    pub(super) fn new(io: I) -> Prefixed<I> {
        Prefixed { io, prefix: None, watch: None }
    }

    /// Returns the connection.
    pub(super) fn get_ref(&self) -> &I {
        &self.io
    }

    /// Lets `watch` know of what hyper does, from now on.
    pub(super) fn set_watch(&mut self, watch: Option<Watch>) {
        self.watch = watch;
    }

    /// Notes a write.
    #[inline]
    fn note_write(&self) {
        if let Some(watch) = &self.watch {
            watch.note_write();
        }
    }

    /// Puts back what hyper has read and not used. Nothing else is there that it has not taken.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_taken());
        if !bytes.is_empty() {
            self.prefix = Some(Box::new(Prefix { bytes: bytes.to_vec(), taken: 0 }));
        }
    }

    /// Returns `true` if nothing has been read that hyper has not taken.
    pub(super) fn is_taken(&self) -> bool {
        self.prefix.is_none()
    }

    /// Returns the connection, and what hyper has not taken.
    pub(crate) fn into_parts(self) -> (I, Vec<u8>) {
        let rest = self.prefix.map(|mut prefix| {
            prefix.bytes.drain(..prefix.taken);
            prefix.bytes
        });
        (self.io, rest.unwrap_or_default())
    }
}

impl<I: Read + Unpin> Prefixed<I> {
    /// Polls for as much as tells the protocol. What has come meanwhile is kept.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Begins>> {
        loop {
            let count = ready!(self.poll_more(cx))?;
            let bytes = self.prefix.as_ref().map_or(&[][..], |prefix| &prefix.bytes);
            let known = bytes.len().min(PREFACE.len());
            let begins = match () {
                () if bytes[..known] != PREFACE[..known] => Begins::Http1,
                () if known == PREFACE.len() => Begins::Http2,
                () if bytes.is_empty() => Begins::Nothing,
                // The connection has ended in the preface, which hyper says well.
                () if count == 0 => Begins::Http2,
                () => continue,
            };
            return Poll::Ready(Ok(begins));
        }
    }

    /// Polls for the first bytes of a head, on a connection of HTTP/1.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Begins>> {
        let count = ready!(self.poll_more(cx))?;
        Poll::Ready(Ok(if count == 0 { Begins::Nothing } else { Begins::Http1 }))
    }

    /// Reads what is there behind what was read. Returns the number of bytes; 0 is the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Prefixed { io, prefix, .. } = self;
        poll_take(io, cx, |bytes| {
            if !bytes.is_empty() {
                prefix.get_or_insert_default().bytes.extend_from_slice(bytes);
            }
        })
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
        if let Some(prefix) = &mut self.prefix {
            let rest = &prefix.bytes[prefix.taken..];
            let count = rest.len().min(cursor.remaining());
            cursor.put_slice(&rest[..count]);
            prefix.taken += count;
            if prefix.taken == prefix.bytes.len() {
                self.prefix = None;
            }
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.io).poll_read(cx, cursor);
        if let (Some(watch), Poll::Ready(_)) = (&self.watch, &read) {
            watch.note_read();
        }
        read
    }
}

impl<I: Write + Unpin> Write for Prefixed<I> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if let (Some(watch), Poll::Ready(Ok(()))) = (&self.watch, &flushed) {
            watch.note_flush();
        }
        flushed
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
