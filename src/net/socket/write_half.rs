//! What the write direction of a stream can do: written once, for halves of TCP and of Unix streams
//! that are borrowed or owned. See `read_half` for why this is a macro.

/// Implements the methods and traits of the half `$half` of a `$stream`, whose addresses are
/// `$address`. `$setup` is the beginning of each example: it makes the half `writer`, and the
/// peer's stream `other`.
macro_rules! write_half {
    ($half:ty, $stream:ident, $address:ty, $setup:expr) => {
        impl $half {
            /// Waits until a write may succeed: the socket has room, or the connection has failed.
            ///
            #[doc = concat!("See [`", stringify!($stream), "::writable`].")]
            ///
            /// # Errors
            ///
            /// Returns `NotConnected` if the poller has ended, and `TimedOut` if the stream's write
            /// deadline has passed.
            ///
            /// # Cancel safety
            ///
            /// This method is cancel-safe. Any number of tasks may wait in it.
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// writer.writable().await?;
            /// assert_eq!(writer.try_write(b"hello")?, 5);
            /// # drop(other);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub async fn writable(&self) -> io::Result<()> {
                self.stream.socket().writable().await
            }

            /// Polls whether a write may succeed, and registers the waker of `cx` if not.
            ///
            #[doc = concat!("See [`", stringify!($stream), "::poll_writable`].")]
            /// The waker takes the place of that of any other poll function of this direction.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`writable`](Self::writable).
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// std::future::poll_fn(|cx| writer.poll_writable(cx)).await?;
            /// assert_eq!(writer.try_write(b"hello")?, 5);
            /// # drop(other);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.socket().poll_ready(cx, Direction::Write)
            }

            /// Writes as much of `buf` as the kernel takes, without waiting, and returns the number
            /// of bytes.
            ///
            /// # Errors
            ///
            /// Returns `WouldBlock` if the kernel takes nothing, and the connection's error if it
            /// has failed.
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// assert_eq!(writer.try_write(b"hello")?, 5);
            /// assert_eq!(&*other.read_chunk().await?, b"hello");
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.stream.socket().try_write(buf)
            }

            /// Writes as much of several buffers as the kernel takes, one after the other, without
            /// waiting: see writev(2). At most 1024 buffers are looked at.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`try_write`](Self::try_write).
            ///
            /// # Examples
            ///
            /// ```
            /// # use std::io::IoSlice;
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// let parts = [IoSlice::new(b"good "), IoSlice::new(b"day")];
            /// assert_eq!(writer.try_write_vectored(&parts)?, 8);
            /// assert_eq!(&*other.read_chunk().await?, b"good day");
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream.socket().try_write_vectored(bufs)
            }

            /// Returns the address of the peer: getpeername(2).
            ///
            /// # Errors
            ///
            /// Returns an error if the connection has ended.
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// println!("writing to {:?}", writer.peer_addr()?);
            /// # drop(other);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn peer_addr(&self) -> io::Result<$address> {
                self.stream.socket().peer_addr()
            }

            /// Returns the address of this side: getsockname(2).
            ///
            /// # Errors
            ///
            /// Returns the errors of getsockname(2).
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// println!("writing at {:?}", writer.local_addr()?);
            /// # drop(other);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn local_addr(&self) -> io::Result<$address> {
                self.stream.socket().local_addr()
            }
        }

        impl AsyncWrite for $half {
            #[inline]
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.socket().poll_write(cx, buf)
            }

            #[inline]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.stream.socket().poll_write_vectored(cx, bufs)
            }

            #[inline]
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.socket().poll_flush(cx)
            }

            /// Flushes, then shuts the write direction down: the peer reads the end of the stream.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.socket().poll_close(cx)
            }
        }

        impl AsRef<$stream> for $half {
            fn as_ref(&self) -> &$stream {
                &self.stream
            }
        }
    };
}

pub(crate) use write_half;
