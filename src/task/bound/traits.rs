//! A binding is a future, a stream, a sink, a reader or a writer if its value is one.
//!
//! Each method asks for the value, which panics outside of its poller, and does what the value's
//! method does. Nothing here is unsafe: `get_pin` has the argument for the pin.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use futures_sink::Sink;

use super::PollerBound;

impl<F: Future> Future for PollerBound<F> {
    type Output = F::Output;

    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.get_pin().poll(cx)
    }
}

impl<S: Stream> Stream for PollerBound<S> {
    type Item = S::Item;

    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.get_pin().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.get().size_hint()
    }
}

impl<Item, S: Sink<Item>> Sink<Item> for PollerBound<S> {
    type Error = S::Error;

    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.get_pin().poll_ready(cx)
    }

    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), S::Error> {
        self.get_pin().start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.get_pin().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.get_pin().poll_close(cx)
    }
}

impl<R: AsyncRead> AsyncRead for PollerBound<R> {
    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_pin().poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_pin().poll_read_vectored(cx, bufs)
    }
}

impl<R: AsyncBufRead> AsyncBufRead for PollerBound<R> {
    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_pin().poll_fill_buf(cx)
    }

    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn consume(self: Pin<&mut Self>, amt: usize) {
        self.get_pin().consume(amt);
    }
}

impl<W: AsyncWrite> AsyncWrite for PollerBound<W> {
    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_pin().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_pin().poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_pin().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_pin().poll_close(cx)
    }
}
