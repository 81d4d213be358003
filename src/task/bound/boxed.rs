//! Bindings that have a name: the future or stream in them is behind a `dyn`.
//!
//! The future of an `async` block can't be named, and is not `Unpin`. A trait with an associated
//! type for its future, such as tower's `Service`, needs the name; a client that asks for
//! `Future: Unpin`, as that of hyper-util does of its connector, needs the other. A second box
//! gives both: it is what is pinned, so that the binding around it may be moved.

use std::future::Future;
use std::pin::Pin;

use futures_core::Stream;

use super::PollerBound;

impl<T: 'static> PollerBound<Pin<Box<dyn Future<Output = T>>>> {
    /// Binds `future` to the poller of this thread, behind a type that can be named.
    ///
    /// The binding is `Send`, `Sync` and `Unpin`, whatever the future is: it fits where a trait has
    /// an associated type for a future, and where a bound asks for `Unpin`. Its value is what
    /// futures-rs calls a `LocalBoxFuture<'static, T>`. It costs two allocations;
    /// [`PollerBound::new`] costs one.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller. The binding panics if it is polled outside of its poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::PollerBound;
    /// use corepoll::net::TcpStream;
    /// use std::io;
    /// use std::net::SocketAddr;
    /// use std::pin::Pin;
    ///
    /// // What a client asks of its connector, in the manner of tower's `Service`.
    /// trait Connect {
    ///     type Stream: Send;
    ///     type Future: Future<Output = io::Result<Self::Stream>> + Send + Unpin;
    ///     fn connect(&self, addr: SocketAddr) -> Self::Future;
    /// }
    ///
    /// struct Plain;
    ///
    /// impl Connect for Plain {
    ///     type Stream = PollerBound<TcpStream>;
    ///     type Future = PollerBound<Pin<Box<dyn Future<Output = io::Result<Self::Stream>>>>>;
    ///     fn connect(&self, addr: SocketAddr) -> Self::Future {
    ///         PollerBound::boxed(async move {
    ///             Ok(PollerBound::new(TcpStream::connect(addr).await?))
    ///         })
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    ///     let stream = Plain.connect(listener.local_addr()?).await?;
    ///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[track_caller]
    pub fn boxed(future: impl Future<Output = T> + 'static) -> Self {
        PollerBound::new(Box::pin(future))
    }
}

impl<T: 'static> PollerBound<Pin<Box<dyn Stream<Item = T>>>> {
    /// Binds `stream` to the poller of this thread, as [`PollerBound::boxed`] binds a future.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller. The binding panics if it is polled outside of its poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::PollerBound;
    /// use futures::stream::{self, Stream, StreamExt};
    /// use std::pin::Pin;
    /// use std::rc::Rc;
    ///
    /// // What a body of a response is made of.
    /// struct Body(PollerBound<Pin<Box<dyn Stream<Item = u32>>>>);
    ///
    /// fn asks_for_send(body: Body) -> impl Stream<Item = u32> + Send + Unpin {
    ///     body.0
    /// }
    ///
    /// corepoll::block_on(async {
    ///     let factor = Rc::new(2);
    ///     let body = Body(PollerBound::boxed_stream(stream::iter(1..4).map(move |n| n * *factor)));
    ///     assert_eq!(asks_for_send(body).collect::<Vec<_>>().await, [2, 4, 6]);
    /// });
    /// ```
    #[track_caller]
    pub fn boxed_stream(stream: impl Stream<Item = T> + 'static) -> Self {
        PollerBound::new(Box::pin(stream))
    }
}
