//! A connection that hyper has let go of.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

#[cfg(feature = "server")]
use corepoll::{PollerBound, net::TcpStream};
use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBuf, Write};
use hyper::upgrade::Upgraded;
#[cfg(feature = "server")]
use hyper::{body::Bytes, upgrade::Parts};

#[cfg(feature = "server")]
use crate::{HyperIo, server::prefixed::Prefixed};

/// An upgraded connection, as a stream of futures-io: for WebSocket, CONNECT, or a protocol of one's own.
///
/// # Examples
///
/// A WebSocket by the crate async-tungstenite, in a handler of axum or a service of hyper alike:
///
/// ```
/// use async_tungstenite::WebSocketStream;
/// use async_tungstenite::tungstenite::{handshake::server::create_response_with_body, protocol::Role};
/// use corepoll::spawn_local;
/// use corepoll_hyper::UpgradedIo;
/// use futures::{SinkExt, StreamExt};
/// use http_body_util::Empty;
/// use hyper::{Request, Response, StatusCode, body::{Bytes, Incoming}};
///
/// fn websocket(mut request: Request<Incoming>) -> Response<Empty<Bytes>> {
///     let upgrade = hyper::upgrade::on(&mut request);
///     let Ok(response) = create_response_with_body(&request, Empty::new) else {
///         let mut refused = Response::new(Empty::new());
///         *refused.status_mut() = StatusCode::BAD_REQUEST;
///         return refused;
///     };
///     drop(spawn_local(async move {
///         let io = UpgradedIo::new(upgrade.await?);
///         let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
///         while let Some(Ok(message)) = socket.next().await {
///             // What comes is sent back.
///             let _ = socket.send(message).await;
///         }
///         hyper::Result::Ok(())
///     }));
///     response
/// }
/// # let _ = websocket;
/// ```
#[derive(Debug)]
pub struct UpgradedIo {
    /// The connection, with the bytes that hyper has read too many.
    upgraded: Upgraded,
}

impl UpgradedIo {
    /// Adapts `upgraded`, which [`hyper::upgrade::on`] resolves to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll_hyper::UpgradedIo;
    /// async fn upgraded(request: hyper::Request<hyper::body::Incoming>) -> hyper::Result<UpgradedIo> {
    ///     Ok(UpgradedIo::new(hyper::upgrade::on(request).await?))
    /// }
    /// # let _ = upgraded;
    /// ```
    pub fn new(upgraded: Upgraded) -> UpgradedIo {
        UpgradedIo { upgraded }
    }

    /// Returns the TCP connection, and what the peer has sent on it that was not read yet. With it,
    /// [`relay`](corepoll::io::relay()) moves bytes in the kernel.
    ///
    /// # Errors
    ///
    /// Returns the stream if it is no TCP connection that [`serve`](crate::serve()) has accepted: one
    /// over TLS, or one of HTTP/2.
    ///
    /// # Panics
    ///
    /// Panics outside of the poller of the connection.
    ///
    /// # Examples
    ///
    /// A tunnel, for CONNECT:
    ///
    /// ```
    /// use corepoll::net::TcpStream;
    /// use corepoll_hyper::UpgradedIo;
    /// use futures::AsyncWriteExt;
    /// use std::io;
    ///
    /// async fn tunnel(client: UpgradedIo, mut target: TcpStream) -> io::Result<()> {
    ///     let Ok((client, read)) = client.into_tcp() else {
    ///         return Err(io::ErrorKind::Unsupported.into());
    ///     };
    ///     target.write_all(&read).await?;
    ///     corepoll::io::relay(client, target).await?;
    ///     Ok(())
    /// }
    /// # let _ = tunnel;
    /// ```
    #[cfg(feature = "server")]
    pub fn into_tcp(self) -> Result<(TcpStream, Bytes), UpgradedIo> {
        match self.upgraded.downcast::<Prefixed<HyperIo<PollerBound<TcpStream>>>>() {
            Ok(Parts { io, read_buf, .. }) => {
                let (io, prefix) = io.into_parts();
                // What hyper had no room for comes after what it has read.
                let read = match prefix.is_empty() {
                    true => read_buf,
                    false => [&read_buf[..], &prefix].concat().into(),
                };
                Ok((io.into_inner().into_inner(), read))
            }
            Err(upgraded) => Err(UpgradedIo { upgraded }),
        }
    }

    /// Returns what hyper gave.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll_hyper::UpgradedIo;
    /// fn parts(io: UpgradedIo) -> hyper::upgrade::Upgraded {
    ///     io.into_inner()
    /// }
    /// # let _ = parts;
    /// ```
    pub fn into_inner(self) -> Upgraded {
        self.upgraded
    }
}

impl AsyncRead for UpgradedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.upgraded).poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl AsyncWrite for UpgradedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.upgraded).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.upgraded).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upgraded).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upgraded).poll_shutdown(cx)
    }
}
