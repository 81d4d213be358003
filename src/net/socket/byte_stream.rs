//! Streams that are made of a socket, and futures-io's traits for them.
//!
//! A macro, because the traits are implemented for a stream and for a reference to it, and a
//! blanket implementation of a foreign trait is not allowed (the orphan rule).

use crate::net::socket::Socket;

/// A stream that is made of a [`Socket`].
pub(crate) trait HasSocket {
    /// Returns the socket that the stream is made of.
    fn socket(&self) -> &Socket;
}

/// Implements futures-io's traits for types that have a `socket` to give.
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

            #[inline]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write_vectored(cx, bufs)
            }

            /// Waits until the output that a handler had queued before the stream was taken is in the
            /// kernel. What the stream has written is there already.
            #[inline]
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_flush(cx)
            }

            /// Flushes, then shuts the write direction down, so that the peer reads the end of the
            /// stream. A second call changes nothing.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.socket().poll_close(cx)
            }
        }
    )+};
}

pub(crate) use byte_stream;
