//! A TCP connection goes from a handler to a task, or from a task to a handler.
//!
//! The socket stays where it is in the kernel, and in epoll: what changes is what its token stands
//! for. The work is done in `source/handover`, which knows no TCP.

use std::io;

use crate::base::token::Token;
use crate::local::context::EvContext;
use crate::local::errors::RegisterError;
use crate::local::handler::EvHandler;
use crate::task::drop_ignoring_panic;

use crate::net::tcp::stream::TcpStream;

impl EvContext<'_> {
    /// Takes the connection away from its handler, as a stream for a task of this poller.
    ///
    /// Bytes that are left to read are the stream's to read. Queued output goes along, and is sent
    /// before anything that is written to the stream, whether or not a task waits for it. The
    /// handler's timers end. None of its callbacks is called any more, not even `on_close`; it is
    /// dropped when the current one has returned, and what that returns is ignored.
    ///
    /// After this the context has no connection: reading, writing, addresses and the like return
    /// errors, and [`EvContext::fd`] panics.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection is ending (as in `on_close`) or is no TCP connection, and
    /// the errors of epoll_ctl(2). Then nothing has changed: the handler keeps the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
    /// use futures::AsyncWriteExt;
    /// use std::io::{self, Read, Write};
    ///
    /// /// Reads one line by callback, and leaves the answer to a task.
    /// struct Upgrade(Vec<u8>);
    ///
    /// impl EvHandler for Upgrade {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let data = cx.read()?;
    ///         if data.is_empty() {
    ///             return Ok(Action::Close);
    ///         }
    ///         self.0.extend_from_slice(&data);
    ///         if self.0.ends_with(b"\n") {
    ///             let line = std::mem::take(&mut self.0);
    ///             let mut stream = cx.take_stream()?;
    ///             drop(cx.spawn_local(async move { stream.write_all(&line).await }));
    ///         }
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening =
    ///     Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Upgrade(Vec::new()))?;
    /// let running = reactor.start()?;
    ///
    /// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
    /// client.write_all(b"hello\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert_eq!(answer, "hello\n");
    ///
    /// running.handle().shutdown(std::time::Duration::ZERO);
    /// running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_stream(&mut self) -> io::Result<TcpStream> {
        Ok(TcpStream::from_registered(self.take_registered()?))
    }
}

impl TcpStream {
    /// Gives the connection to a handler on the same poller, registered for
    /// [`Interest::READABLE`](crate::Interest::READABLE).
    ///
    /// `on_open` is called later in this turn, and then `on_read` for what is left to read. Output
    /// that [`EvContext::take_stream`] brought along and that has not been sent yet goes along
    /// again.
    ///
    /// # Errors
    ///
    /// Returns an error if the poller has ended, and the errors of epoll_ctl(2). Then the
    /// connection is closed, and none of the handler's callbacks is called.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::{TcpListener, TcpStream};
    /// use corepoll::{Action, EvContext, EvHandler};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    /// use std::io;
    ///
    /// struct Echo;
    ///
    /// impl EvHandler for Echo {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let data = cx.read()?;
    ///         if data.is_empty() {
    ///             return Ok(Action::Close);
    ///         }
    ///         cx.write(&data)?;
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// corepoll::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (server, _peer) = listener.accept().await?;
    ///     client.write_all(b"hello").await?;
    ///     server.into_handler(Echo)?;
    ///     let mut bytes = [0; 5];
    ///     client.read_exact(&mut bytes).await?;
    ///     assert_eq!(&bytes, b"hello");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn into_handler<H: EvHandler>(self, handler: H) -> io::Result<Token> {
        let given = self.into_registered().into_connection(Box::new(handler));
        given.map_err(|RegisterError { error, rejected: handler }| {
            // Its drop is the user's code: a panic in there must not hide the error.
            drop_ignoring_panic(handler);
            error
        })
    }
}
