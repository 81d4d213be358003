//! What the read direction of a stream can do: written once, for halves of TCP and of Unix streams
//! that are borrowed or owned.
//!
//! A macro, and not one generic type: so that the page of each half shows its methods, with its own
//! stream in their signatures and examples.

/// Implements the methods and traits of the half `$half` of a `$stream`, whose addresses are
/// `$address`. `$setup` is the beginning of each example: it makes the half `reader`, and the
/// peer's stream `other`.
macro_rules! read_half {
    ($half:ty, $stream:ident, $address:ty, $setup:expr) => {
        impl $half {
            /// Waits until a read may succeed: bytes have come, the peer has ended its direction,
            /// or the connection has failed.
            ///
            #[doc = concat!("See [`", stringify!($stream), "::readable`].")]
            ///
            /// # Errors
            ///
            /// Returns `NotConnected` if the poller has ended, and `TimedOut` if the stream's read
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
            /// other.try_write(b"hello")?;
            /// reader.readable().await?;
            /// assert_eq!(reader.try_read(&mut [0; 16])?, 5);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub async fn readable(&self) -> io::Result<()> {
                self.stream.socket().readable().await
            }

            /// Polls whether a read may succeed, and registers the waker of `cx` if not.
            ///
            #[doc = concat!("See [`", stringify!($stream), "::poll_readable`].")]
            /// The waker takes the place of that of any other poll function of this direction.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`readable`](Self::readable).
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// other.try_write(b"hello")?;
            /// std::future::poll_fn(|cx| reader.poll_readable(cx)).await?;
            /// assert_eq!(reader.try_read(&mut [0; 16])?, 5);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.socket().poll_ready(cx, Direction::Read)
            }

            /// Reads the available bytes into `buf`, without waiting, and returns their number.
            /// Zero is the end of the stream, unless `buf` is empty.
            ///
            /// # Errors
            ///
            /// Returns `WouldBlock` if nothing has come, and the connection's error if it has
            /// failed.
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// other.try_write(b"hello")?;
            /// reader.readable().await?;
            /// let mut bytes = [0; 16];
            /// let count = reader.try_read(&mut bytes)?;
            /// assert_eq!(&bytes[..count], b"hello");
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream.socket().try_read(buf)
            }

            /// Reads the available bytes into several buffers, one after the other, without waiting: see
            /// readv(2). At most 1024 buffers are filled.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`try_read`](Self::try_read).
            ///
            /// # Examples
            ///
            /// ```
            /// # use std::io::IoSliceMut;
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// other.try_write(b"hello")?;
            /// reader.readable().await?;
            /// let (mut head, mut rest) = ([0; 1], [0; 16]);
            /// let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut rest)];
            /// assert_eq!(reader.try_read_vectored(&mut bufs)?, 5);
            /// assert_eq!((&head, &rest[..4]), (b"h", &b"ello"[..]));
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.stream.socket().try_read_vectored(bufs)
            }

            /// Polls for bytes, and reads them into memory that need not be initialized. Returns
            /// the number of bytes, `n`: `buf[..n]` is initialized then.
            ///
            #[doc = concat!("See [`", stringify!($stream), "::poll_read_uninit`].")]
            ///
            /// # Errors
            ///
            /// Returns the connection's error, after every byte that came before it.
            ///
            /// # Examples
            ///
            /// ```
            /// # use std::mem::MaybeUninit;
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// other.try_write(b"hello")?;
            /// let mut buf = [MaybeUninit::uninit(); 16];
            /// let count = std::future::poll_fn(|cx| reader.poll_read_uninit(cx, &mut buf)).await?;
            /// // SAFETY: `poll_read_uninit` has initialized that many bytes.
            /// let first = unsafe { buf[0].assume_init() };
            /// assert_eq!((count, first), (5, b'h'));
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            #[inline]
            pub fn poll_read_uninit(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [MaybeUninit<u8>],
            ) -> Poll<io::Result<usize>> {
                self.stream.socket().poll_read_uninit(cx, buf)
            }

            /// Waits for bytes, reads them into a buffer of the poller, and lends it. An empty chunk is the
            /// end of the stream.
            ///
            #[doc = concat!("See [`", stringify!($stream), "::read_chunk`].")]
            ///
            /// # Errors
            ///
            /// Returns the connection's error, after every byte that came before it.
            ///
            /// # Cancel safety
            ///
            /// This method is cancel-safe: dropping the future never loses a byte.
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// other.try_write(b"hello")?;
            /// assert_eq!(&*reader.read_chunk().await?, b"hello");
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            #[inline]
            pub fn read_chunk(&self) -> ReadChunk<'_> {
                ReadChunk::of(self.stream.socket())
            }

            /// Waits for bytes, and copies them to `buf` without taking them: MSG_PEEK of recv(2).
            /// Returns the number of bytes; zero is the end of the stream, unless `buf` is empty.
            ///
            /// # Errors
            ///
            /// Returns the connection's error, after every byte that came before it.
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
            /// other.try_write(b"hello")?;
            /// let mut first = [0];
            /// reader.peek(&mut first).await?;
            /// assert_eq!(&first, b"h");
            /// assert_eq!(&*reader.read_chunk().await?, b"hello");
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream.socket().peek_bytes(buf).await
            }

            /// Polls for bytes to look at: [`peek`](Self::peek) as a poll function. The waker takes
            /// the place of that of any other poll function of this direction.
            ///
            /// # Errors
            ///
            /// Returns the errors of [`peek`](Self::peek).
            ///
            /// # Examples
            ///
            /// ```
            /// # corepoll::block_on(async {
            #[doc = $setup]
            /// other.try_write(b"hello")?;
            /// let mut first = [0];
            /// assert_eq!(std::future::poll_fn(|cx| reader.poll_peek(cx, &mut first)).await?, 1);
            /// assert_eq!(&first, b"h");
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn poll_peek(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.socket().poll_peek(cx, buf)
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
            /// println!("reading from {:?}", reader.peer_addr()?);
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
            /// println!("reading at {:?}", reader.local_addr()?);
            /// # drop(other);
            /// # std::io::Result::Ok(())
            /// # }).unwrap();
            /// ```
            pub fn local_addr(&self) -> io::Result<$address> {
                self.stream.socket().local_addr()
            }
        }

        impl AsyncRead for $half {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.socket().poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.stream.socket().poll_read_vectored(cx, bufs)
            }
        }

        impl AsRef<$stream> for $half {
            fn as_ref(&self) -> &$stream {
                &self.stream
            }
        }
    };
}

pub(crate) use read_half;
