//! The two directions of a stream as two values.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use crate::parts::buffers::Chunk;

use super::tcp_stream::TcpStream;

impl TcpStream {
    /// Lends the two directions apart, so that one future reads while another writes. Costs
    /// nothing.
    ///
    /// Where futures' `AsyncReadExt` is in scope, `stream.split()` on an owned stream means its
    /// `split`, by value; `TcpStream::split(&mut stream)` always means this one.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (mut server, _peer) = listener.accept().await?;
    ///     let (mut reader, mut writer) = TcpStream::split(&mut client);
    ///     let mut bytes = [0; 5];
    ///     let (sent, echoed, received) = futures::join!(
    ///         writer.write_all(b"hello"),
    ///         async {
    ///             let mut bytes = [0; 5];
    ///             server.read_exact(&mut bytes).await?;
    ///             server.write_all(&bytes).await
    ///         },
    ///         reader.read_exact(&mut bytes),
    ///     );
    ///     sent.and(echoed).and(received)?;
    ///     assert_eq!(&bytes, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf { stream: self }, WriteHalf { stream: self })
    }

    /// Makes two values of the two directions, for two tasks of this poller. The connection is
    /// closed when both are gone; dropping the write half shuts its direction down.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use corepoll::spawn_local;
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (server, _peer) = listener.accept().await?;
    ///     let echo = spawn_local(async move {
    ///         let (reader, mut writer) = server.into_split();
    ///         futures::io::copy(reader, &mut writer).await
    ///     });
    ///     let (mut reader, mut writer) = client.into_split();
    ///     writer.write_all(b"hello").await?;
    ///     drop(writer);
    ///     let mut answer = String::new();
    ///     reader.read_to_string(&mut answer).await?;
    ///     assert_eq!(answer, "hello");
    ///     assert_eq!(echo.await.unwrap()?, 5);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Rc::new(self);
        let read = OwnedReadHalf { stream: stream.clone() };
        (read, OwnedWriteHalf { stream: Some(stream) })
    }
}

/// The read direction of a [`TcpStream`] that is lent: see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    stream: &'a TcpStream,
}

/// The write direction of a [`TcpStream`] that is lent: see [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a> {
    stream: &'a TcpStream,
}

/// The read direction of a [`TcpStream`]: see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Rc<TcpStream>,
}

/// The write direction of a [`TcpStream`]: see [`TcpStream::into_split`]. Dropping it shuts the
/// direction down, so that the peer reads the end.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    /// None once it has been put together again.
    stream: Option<Rc<TcpStream>>,
}

impl OwnedReadHalf {
    /// Puts the stream together again.
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let one = TcpStream::connect(listener.local_addr()?).await?;
    ///     let two = TcpStream::connect(listener.local_addr()?).await?;
    ///     let ((read_one, write_one), (_, write_two)) = (one.into_split(), two.into_split());
    ///     let error = read_one.reunite(write_two).unwrap_err();
    ///     let stream = error.0.reunite(write_one).unwrap();
    ///     # let _ = stream;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// They are not of the same stream; the error gives both back.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, write)
    }
}

impl OwnedWriteHalf {
    /// Puts the stream together again: see [`OwnedReadHalf::reunite`].
    ///
    /// # Errors
    /// They are not of the same stream; the error gives both back.
    pub fn reunite(self, read: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(read, self)
    }

    /// Drops it without shutting the direction down: the peer reads the end when the read half is
    /// gone as well.
    pub fn forget(mut self) {
        self.stream = None;
    }
}

fn reunite(read: OwnedReadHalf, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !write.stream.as_ref().is_some_and(|stream| Rc::ptr_eq(stream, &read.stream)) {
        return Err(ReuniteError(read, write));
    }
    drop(mem::take(&mut write.stream));
    Ok(Rc::into_inner(read.stream).expect("a stream has two halves"))
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // It fails only if the connection has, and then the peer knows.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// Two halves that are not of the same stream: here they are again.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream")
    }
}

impl Error for ReuniteError {}

/// What can be done with the read direction, alike for both of its types.
macro_rules! read_half {
    ($type:ty) => {
        impl $type {
            /// [`TcpStream::readable`]. Cancel-safe.
            ///
            /// # Errors
            /// Its own.
            pub async fn readable(&self) -> io::Result<()> {
                self.as_ref().readable().await
            }

            /// [`TcpStream::try_read`].
            ///
            /// # Errors
            /// Its own.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.as_ref().try_read(buf)
            }

            /// [`TcpStream::try_read_vectored`].
            ///
            /// # Errors
            /// Its own.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.as_ref().try_read_vectored(bufs)
            }

            /// [`TcpStream::read_chunk`]. Cancel-safe.
            ///
            /// # Errors
            /// Its own.
            pub async fn read_chunk(&self) -> io::Result<Chunk<'_>> {
                self.as_ref().read_chunk().await
            }

            /// [`TcpStream::peek`]. Cancel-safe.
            ///
            /// # Errors
            /// Its own.
            pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.as_ref().peek(buf).await
            }

            /// The peer's address.
            ///
            /// # Errors
            /// getpeername(2).
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().peer_addr()
            }

            /// Our address.
            ///
            /// # Errors
            /// getsockname(2).
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().local_addr()
            }
        }

        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut (*self).as_ref()).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut (*self).as_ref()).poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// What can be done with the write direction, alike for both of its types.
macro_rules! write_half {
    ($type:ty) => {
        impl $type {
            /// [`TcpStream::writable`]. Cancel-safe.
            ///
            /// # Errors
            /// Its own.
            pub async fn writable(&self) -> io::Result<()> {
                self.as_ref().writable().await
            }

            /// [`TcpStream::try_write`].
            ///
            /// # Errors
            /// Its own.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.as_ref().try_write(buf)
            }

            /// [`TcpStream::try_write_vectored`].
            ///
            /// # Errors
            /// Its own.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.as_ref().try_write_vectored(bufs)
            }

            /// The peer's address.
            ///
            /// # Errors
            /// getpeername(2).
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().peer_addr()
            }

            /// Our address.
            ///
            /// # Errors
            /// getsockname(2).
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().local_addr()
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut (*self).as_ref()).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut (*self).as_ref()).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut (*self).as_ref()).poll_flush(cx)
            }

            /// Shuts the direction down: the peer reads the end.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut (*self).as_ref()).poll_close(cx)
            }
        }
    };
}

read_half!(ReadHalf<'_>);
read_half!(OwnedReadHalf);
write_half!(WriteHalf<'_>);
write_half!(OwnedWriteHalf);

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream
    }
}

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.stream
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        self.stream.as_ref().expect("only its last use takes the stream out")
    }
}
