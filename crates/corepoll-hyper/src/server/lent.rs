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
    owner: Rc<Owner<I>>,
}

/// The owner of a connection that is lent.
pub(super) struct Owner<I> {
    /// The connection, once it has been given back.
    io: Cell<Option<I>>,
    /// How often bytes were read or written. It wraps.
    moves: Cell<u32>,
}

impl<I> Owner<I> {
    /// Returns the connection, if it has been given back.
    pub(super) fn take(&self) -> Option<I> {
        self.io.take()
    }

    /// Returns a number that is another one when bytes have been read or written.
    pub(super) fn moves(&self) -> u32 {
        self.moves.get()
    }
}

impl<I> Lent<I> {
    /// Lends `io`. Its owner has it once this is dropped.
    pub(super) fn new(io: I) -> (Lent<I>, Rc<Owner<I>>) {
        let owner = Rc::new(Owner { io: Cell::new(None), moves: Cell::new(0) });
        (Lent { io: Some(io), owner: owner.clone() }, owner)
    }

    /// Counts a call that is over: it has moved bytes, or is the last one.
    #[inline]
    fn count<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.owner.moves.set(self.owner.moves.get().wrapping_add(1));
        }
        polled
    }
}

impl<I: Unpin> Lent<I> {
    /// Returns the connection.
    #[inline]
    fn io(&mut self) -> io::Result<Pin<&mut I>> {
        match &mut self.io {
            Some(io) => Ok(Pin::new(io)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<I> Drop for Lent<I> {
    fn drop(&mut self) {
        self.owner.io.set(self.io.take());
    }
}

impl<I: Read + Unpin> Read for Lent<I> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = self.io()?.poll_read(cx, cursor);
        self.count(polled)
    }
}

impl<I: Write + Unpin> Write for Lent<I> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.io()?.poll_write(cx, buf);
        self.count(polled)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.io()?.poll_write_vectored(cx, bufs);
        self.count(polled)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(Write::is_write_vectored)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}
