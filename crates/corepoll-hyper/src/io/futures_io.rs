//! Any stream of futures-io for hyper.
//!
//! futures-io reads into initialized memory, and hyper's buffer isn't. Filling that with zeros at
//! each read costs thousands of instructions, and whether it was filled before can't be known: it
//! is another allocation each time, perhaps at the same address. So each thread keeps a buffer that
//! was filled once. A stream reads into that, and what has come is copied: as many bytes as were
//! read, and no more.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::ReadBufCursor;

/// The size of a thread's buffer: what one record of TLS holds.
const BUFFER: usize = 16 * 1024;

thread_local! {
    /// The buffer of this thread. It is empty until the first read, and while a read uses it.
    static INITIALIZED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Any stream of futures-io as hyper wants one: a TLS stream of futures-rustls, or a stream of a
/// test.
///
/// [`HyperIo`](crate::HyperIo) is for corepoll's own streams, and is cheaper: this copies what it
/// reads once more.
///
/// # Examples
///
/// ```
/// use corepoll_hyper::FuturesIo;
/// use futures_rustls::TlsAcceptor;
/// use corepoll::net::TcpStream;
/// use futures_rustls::server::TlsStream;
///
/// async fn handshake(
///     acceptor: TlsAcceptor,
///     stream: TcpStream,
/// ) -> std::io::Result<FuturesIo<TlsStream<TcpStream>>> {
///     Ok(FuturesIo::new(acceptor.accept(stream).await?))
/// }
/// # let _ = handshake;
/// ```
#[derive(Debug)]
pub struct FuturesIo<S> {
    /// The stream.
    stream: S,
    /// Whether one call of it writes several buffers.
    is_write_vectored: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FuturesIo<S> {
    /// Adapts `stream`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use corepoll_hyper::FuturesIo;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let io = FuturesIo::new(futures::io::BufReader::new(one));
    /// # drop(io);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn new(stream: S) -> FuturesIo<S> {
        FuturesIo { stream, is_write_vectored: false }
    }

    /// Says whether one `poll_write_vectored` of the stream writes several buffers. If so, hyper
    /// queues the head and the body of a message for one call; if not, it copies a small body behind
    /// the head. Default: `false`, as most TLS streams make a record of each buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use corepoll_hyper::FuturesIo;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let io = FuturesIo::new(futures::io::BufReader::new(one)).write_vectored(true);
    /// # drop(io);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn write_vectored(mut self, on: bool) -> FuturesIo<S> {
        self.is_write_vectored = on;
        self
    }
}

impl<S> FuturesIo<S> {
    /// Returns the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UnixStream;
    /// # use corepoll_hyper::FuturesIo;
    /// # corepoll::block_on(async {
    /// let (one, _other) = UnixStream::pair()?;
    /// let stream: UnixStream = FuturesIo::new(one).into_inner();
    /// # drop(stream);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S> AsRef<S> for FuturesIo<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for FuturesIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Taken out: the stream is foreign code, and may read another one in this call.
        let mut buffer = INITIALIZED.take();
        if buffer.is_empty() {
            buffer.resize(BUFFER, 0);
        }
        let room = cursor.remaining().min(buffer.len());
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..room]);
        if let Poll::Ready(Ok(count)) = read {
            cursor.put_slice(&buffer[..count]);
        }
        INITIALIZED.set(buffer);
        ready!(read)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for FuturesIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_write_vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
