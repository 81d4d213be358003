//! The streams that hyper's buffer is filled from directly.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use corepoll::net::{TcpStream, UnixStream};
use corepoll::{PollerBound, Pooled};
use futures_io::AsyncWrite;

/// A byte stream of corepoll, which [`HyperIo`](crate::HyperIo) adapts to hyper: a [`TcpStream`], a
/// [`UnixStream`], a [`Pooled`], a reference to one, or one in a [`PollerBound`].
///
/// The trait is sealed. [`FuturesIo`](crate::FuturesIo) is for every other stream.
///
/// # Examples
///
/// ```
/// use corepoll::net::TcpStream;
/// use corepoll_hyper::{HyperIo, PollerStream};
///
/// fn adapt<S: PollerStream>(stream: S) -> HyperIo<S> {
///     HyperIo::new(stream)
/// }
/// # let _ = adapt::<TcpStream>;
/// ```
pub trait PollerStream: sealed::Bytes {}

impl<S: sealed::Bytes> PollerStream for S {}

pub(super) mod sealed {
    use super::*;

    /// How bytes go in and out.
    ///
    /// Implementations are in this file. `fill` relies on them: a read that returns `n` has
    /// initialized the first `n` bytes of its buffer, and has de-initialized none.
    pub trait Bytes {
        /// Polls for bytes, and reads them into `buf`, whose first bytes are initialized then.
        fn poll_read_uninit(
            &self,
            cx: &mut Context<'_>,
            buf: &mut [MaybeUninit<u8>],
        ) -> Poll<io::Result<usize>>;

        /// Polls for room, and writes as much of `buf` as there is room for.
        fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

        /// Polls for room, and writes as much of `bufs` as there is room for.
        fn poll_write_vectored(
            &self,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>>;

        /// Polls until what was written is in the kernel.
        fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

        /// Flushes, and shuts the write direction down.
        fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    }
}

/// Implements the trait for a stream that writes through a shared reference.
macro_rules! bytes {
    ($($stream:ty),+) => {$(
        impl sealed::Bytes for $stream {
            #[inline]
            fn poll_read_uninit(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [MaybeUninit<u8>],
            ) -> Poll<io::Result<usize>> {
                <$stream>::poll_read_uninit(self, cx, buf)
            }

            #[inline]
            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write(cx, buf)
            }

            #[inline]
            fn poll_write_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write_vectored(cx, bufs)
            }

            #[inline]
            fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_flush(cx)
            }

            #[inline]
            fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_close(cx)
            }
        }
    )+};
}

bytes!(TcpStream, UnixStream);

/// Implements the trait for what derefs to such a stream.
macro_rules! deref_bytes {
    ($(($($generics:tt)*) $type:ty),+) => {$(
        impl<$($generics)*> sealed::Bytes for $type {
            #[inline]
            fn poll_read_uninit(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [MaybeUninit<u8>],
            ) -> Poll<io::Result<usize>> {
                (**self).poll_read_uninit(cx, buf)
            }

            #[inline]
            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                sealed::Bytes::poll_write(&**self, cx, buf)
            }

            #[inline]
            fn poll_write_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                sealed::Bytes::poll_write_vectored(&**self, cx, bufs)
            }

            #[inline]
            fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                sealed::Bytes::poll_flush(&**self, cx)
            }

            #[inline]
            fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                sealed::Bytes::poll_close(&**self, cx)
            }
        }
    )+};
}

deref_bytes!(() Pooled, (S: sealed::Bytes) &S, (S: sealed::Bytes) PollerBound<S>);
