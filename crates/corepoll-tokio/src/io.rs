//! [`TokioIo`]: a stream of futures-io as one of tokio.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::known;

/// The most bytes that one read fills with zeros: the plaintext of a TLS record. A stream that needs
/// its buffer initialized seldom has more to give at once.
const FILLED_AT_ONCE: usize = 16 * 1024;

pin_project! {
    /// A stream with the traits of tokio: [`AsyncRead`] if it is an `AsyncRead` of futures-io, and
    /// [`AsyncWrite`] if it is an `AsyncWrite` of it.
    ///
    /// | stream | reads | vectored writes |
    /// |---|---|---|
    /// | `TcpStream`, `UnixStream`, their owned halves, `Pooled` | into memory that isn't initialized | by one system call |
    /// | a [`PollerBound`] of one of these | the same | the same |
    /// | any other, such as a TLS stream | into memory that is filled with zeros first | as the stream does it; [`is_write_vectored`] is `false` |
    ///
    /// A [`ReadBuf`] knows how much of its memory is initialized, so that a buffer that the reader
    /// keeps initialized, such as that of tokio's `BufReader`, is filled with zeros once. Where the
    /// reader gives fresh memory to each read, the zeros are at most 16 KiB a read.
    ///
    /// [`shutdown`] flushes and then ends the write direction, as `close` of futures-io does. The
    /// peer reads the end of the stream, and can still send.
    ///
    /// The adapter is the stream and nothing else: it takes no more memory, and is [`Send`] or
    /// [`Unpin`] if the stream is. Streams of corepoll aren't `Send`: where a library asks for that,
    /// bind them first. What each method of the stream panics or fails for is the same through the
    /// adapter.
    ///
    /// It doesn't deref to the stream: `shutdown` and `split` are methods of both, and not the same.
    ///
    /// [`PollerBound`]: corepoll::PollerBound
    /// [`is_write_vectored`]: AsyncWrite::is_write_vectored
    /// [`shutdown`]: AsyncWrite::poll_shutdown
    ///
    /// # Examples
    ///
    /// A client that asks for `Send`:
    ///
    /// ```
    /// use corepoll::PollerBound;
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use corepoll_tokio::TokioIo;
    /// use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    ///
    /// // As that of redis does.
    /// async fn ask(stream: impl AsyncRead + AsyncWrite + Send + Unpin) -> std::io::Result<String> {
    ///     let (mut reader, mut writer) = tokio::io::split(stream);
    ///     writer.write_all(b"PING\r\n").await?;
    ///     writer.shutdown().await?;
    ///     let mut answer = String::new();
    ///     reader.read_to_string(&mut answer).await?;
    ///     Ok(answer)
    /// }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let address = listener.local_addr()?;
    ///     let echo = corepoll::spawn_local(async move {
    ///         let (stream, _peer) = listener.accept().await?;
    ///         let (reader, mut writer) = futures::AsyncReadExt::split(stream);
    ///         futures::io::copy(reader, &mut writer).await
    ///     });
    ///     let stream = PollerBound::new(TcpStream::connect(address).await?);
    ///     assert_eq!(ask(TokioIo::new(stream)).await?, "PING\r\n");
    ///     echo.await.expect("no panic")?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct TokioIo<S> {
        // What is read and written.
        #[pin]
        stream: S,
    }
}

impl<S> TokioIo<S> {
    /// Returns an adapter around `stream`. It may be called on any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll_tokio::TokioIo;
    /// use tokio::io::AsyncReadExt;
    ///
    /// # corepoll::block_on(async {
    /// let mut stream = TokioIo::new(futures::io::Cursor::new([4, 2]));
    /// assert_eq!(stream.read_u8().await?, 4);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn new(stream: S) -> TokioIo<S> {
        TokioIo { stream }
    }

    /// Returns the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use corepoll_tokio::TokioIo;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = TokioIo::new(TcpStream::connect(listener.local_addr()?).await?);
    /// assert_eq!(stream.get_ref().peer_addr()?, listener.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream, mutably.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll_tokio::TokioIo;
    /// # use tokio::io::AsyncReadExt;
    /// # corepoll::block_on(async {
    /// let mut stream = TokioIo::new(futures::io::Cursor::new([4, 2]));
    /// stream.get_mut().set_position(1);
    /// assert_eq!(stream.read_u8().await?, 2);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns the stream, without the adapter. The adapter keeps no bytes back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use corepoll_tokio::TokioIo;
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = TokioIo::new(TcpStream::connect(listener.local_addr()?).await?);
    /// let stream: TcpStream = stream.into_inner();
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: futures_io::AsyncRead + 'static> AsyncRead for TokioIo<S> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match known::poll_read(&self.stream, cx, buf) {
            Some(polled) => polled,
            None => poll_read_initialized(self.project().stream, cx, buf),
        }
    }
}

/// Polls for bytes, and reads them into memory that is filled with zeros unless it is initialized.
fn poll_read_initialized<S: futures_io::AsyncRead>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let initialized = buf.initialized().len() - buf.filled().len();
    let room = buf.remaining().min(initialized.max(FILLED_AT_ONCE));
    let count = ready!(stream.poll_read(cx, buf.initialize_unfilled_to(room)))?;
    buf.advance(count);
    Poll::Ready(Ok(()))
}

impl<S: futures_io::AsyncWrite + 'static> AsyncWrite for TokioIo<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bufs)
    }

    /// Returns `true` for the streams of corepoll. Others may write one buffer at a time, and can't
    /// be asked.
    #[inline]
    fn is_write_vectored(&self) -> bool {
        known::is_write_vectored(&self.stream)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    /// Closes the stream as futures-io does: flushes it, then ends the write direction.
    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_close(cx)
    }
}
