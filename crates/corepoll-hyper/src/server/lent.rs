//! A connection that hyper gives back by dropping it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// A connection that is lent to hyper. hyper's connection of HTTP/2 can't be taken apart; when it is
/// dropped, so is this, and what it holds goes to its owner.
pub(super) struct Lent<I> {
    /// The connection; `None` once it has been given back.
    io: Option<I>,
    /// Where it goes.
    owner: Rc<Cell<Option<I>>>,
}

impl<I> Lent<I> {
    /// Lends `io`. It is in the cell once this is dropped.
    pub(super) fn new(io: I) -> (Lent<I>, Rc<Cell<Option<I>>>) {
        let owner = Rc::new(Cell::new(None));
        (Lent { io: Some(io), owner: owner.clone() }, owner)
    }
}

impl<I: Unpin> Lent<I> {
    /// Returns the connection.
    #[inline]
    fn io(self: Pin<&mut Self>) -> io::Result<Pin<&mut I>> {
        match &mut self.get_mut().io {
            Some(io) => Ok(Pin::new(io)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<I> Drop for Lent<I> {
    fn drop(&mut self) {
        self.owner.set(self.io.take());
    }
}

impl<I: Read + Unpin> Read for Lent<I> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io()?.poll_read(cx, cursor)
    }
}

impl<I: Write + Unpin> Write for Lent<I> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write_vectored(cx, bufs)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(Write::is_write_vectored)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}
