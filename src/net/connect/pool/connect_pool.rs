//! The handle of a pool: what its users call.
//!
//! The handle counts itself in [`Shared`], which its users hold as well: a connection in use or a
//! user that waits keeps the state alive, but not the pool open.

use std::fmt;
use std::io;
use std::rc::Rc;

use crate::local::context::EvContext;
use crate::local::handler::EvHandler;

use super::get::Get;
use super::pooled::Pooled;
use super::pooled_handler;
use super::shared::Shared;

/// A pool of connections to one address, for the tasks and handlers of one poller. This is a
/// handle: a clone is another handle to the same pool. A pool takes no lock; futures and handlers
/// wait for it, and never the poller's thread.
///
/// A pool belongs to the poller that first uses it. [`with_local`](crate::with_local) can hold one
/// for each poller, or a pool is made where the tasks are spawned.
///
/// # Giving a connection back
///
/// A connection goes back to the pool only when its user says that no answer is outstanding:
/// [`Pooled::release`] in a task, [`EvContext::release`] in a handler. If it ends in any other way
/// it is closed: when the [`Pooled`] is dropped, when its task is cancelled, times out, panics or
/// is aborted, when the handler closes it or fails. So the next user never reads the answer to
/// another user's question.
///
/// # Examples
///
/// ```
/// use corepoll::{ConnectPool, net::TcpListener, time};
/// use futures::{AsyncReadExt, AsyncWriteExt};
/// use std::{io, time::Duration};
///
/// /// Asks one question. If the time is up in the middle of the answer, `upstream` is dropped
/// /// where it stands, and that closes the connection.
/// async fn ask(pool: &ConnectPool, question: &[u8; 4]) -> io::Result<[u8; 4]> {
///     time::timeout(Duration::from_secs(2), async {
///         let mut upstream = pool.get().await?;
///         upstream.write_all(question).await?;
///         let mut answer = [0; 4];
///         upstream.read_exact(&mut answer).await?;
///         // The whole answer has been read: others may use the connection.
///         upstream.release();
///         Ok(answer)
///     })
///     .await?
/// }
///
/// # fn main() -> io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let addr = listener.local_addr()?.to_string();
///     let server = corepoll::spawn_local(async move {
///         let (mut stream, _peer) = listener.accept().await?;
///         let mut question = [0; 4];
///         while stream.read_exact(&mut question).await.is_ok() {
///             stream.write_all(b"pong").await?;
///         }
///         io::Result::Ok(())
///     });
///
///     let pool = ConnectPool::builder(&addr)
///         .max_live(8)
///         .idle_timeout(Duration::from_secs(30))
///         .build();
///     for _ in 0..2 {
///         // The same connection both times.
///         assert_eq!(&ask(&pool, b"ping").await?, b"pong");
///     }
///     assert_eq!((pool.idle(), pool.live(), pool.waiting()), (1, 1, 0));
///     drop(pool);
///     server.await.unwrap()
/// })
/// # }
/// ```
///
/// # Which connection a user gets
///
/// 1. The idle connection that was used last. The pool looks at it before: a connection that has
///    ended, or on which unexpected bytes wait, is closed, and the next one is taken.
/// 2. Where none is idle, a place in the queue, which tasks and handlers share. If fewer
///    connections are on their way than users wait, [`PoolBuilder::grow_by`] more are begun, up to
///    [`PoolBuilder::max_live`]. The first user in the queue gets the first connection that is made
///    or given back.
///
/// [`PoolBuilder::grow_by`]: crate::PoolBuilder::grow_by
/// [`PoolBuilder::max_live`]: crate::PoolBuilder::max_live
///
/// # When the peer is down
///
/// If an attempt fails and no other one is on its way for the first user in the queue, that user
/// gets the error. If no connection is left, every user in the queue does. Then the pool pauses
/// before it begins another attempt: 5 ms at first, and twice as long after each further failure,
/// up to one second. Users that come meanwhile wait for the next attempt. So while the peer is
/// down, a user waits for at most that second and one attempt. While all connections are in use, it
/// waits until one is given back; [`time::timeout`](crate::time::timeout) sets a limit.
///
/// # The end
///
/// When the last handle of a pool is dropped, idle connections are closed, and those in use are
/// closed when they are given back. When the pool's poller ends, users that wait get the error
/// `NotConnected`; the next poller that uses the pool begins anew.
#[must_use = "a pool does nothing until a connection is asked for"]
pub struct ConnectPool {
    /// The pool, which its users hold as well.
    shared: Rc<Shared>,
}

impl ConnectPool {
    /// Returns the first handle of a pool.
    pub(crate) fn from_shared(shared: Shared) -> ConnectPool {
        shared.add_handle();
        ConnectPool { shared: Rc::new(shared) }
    }

    /// Waits for a connection. [`Pooled::release`] gives it back; dropping it closes it, so that a
    /// [`time::timeout`](crate::time::timeout) around a question and its answer is safe.
    ///
    /// # Errors
    ///
    /// Returns an error if
    /// - connecting failed: see [above](ConnectPool#when-the-peer-is-down);
    /// - the address is invalid;
    /// - there is no poller on this thread, or the pool belongs to another one;
    /// - the pool's poller ends during the wait (`NotConnected`).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue. A connection that was on its way to it goes to the
    /// next user.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{ConnectPool, net::TcpListener, time};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    /// use std::{io, time::Duration};
    ///
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(listener.local_addr()?.to_string());
    /// // This peer never answers.
    /// let late = time::timeout(Duration::from_millis(10), async {
    ///     let mut upstream = pool.get().await?;
    ///     upstream.write_all(b"ping").await?;
    ///     let mut answer = [0; 4];
    ///     upstream.read_exact(&mut answer).await?;
    ///     upstream.release();
    ///     io::Result::Ok(answer)
    /// });
    /// assert!(late.await.is_err());
    /// // The connection was closed: a late answer reaches no other user.
    /// assert_eq!((pool.idle(), pool.live()), (0, 0));
    /// # io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn get(&self) -> io::Result<Pooled> {
        Get::new(&self.shared).await
    }

    /// Gets a connection for a handler, on this poller. The handler's first call comes at the end
    /// of this turn or later: [`EvHandler::on_open`] with the connection, or
    /// [`EvHandler::on_connect_fail`] where [`ConnectPool::get`] would fail. The connection is
    /// registered for [`Interest::READABLE`](crate::Interest::READABLE).
    ///
    /// [`EvContext::release`] gives it back. If it ends in any other way it is closed, also with
    /// [`Action::Close`](crate::Action::Close). If [`EvContext::take_stream`] takes it, it leaves
    /// the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, ConnectPool, EvContext, EvHandler, TimerId};
    /// use std::{io, time::Duration};
    ///
    /// struct Query {
    ///     answer: Vec<u8>,
    /// }
    ///
    /// impl EvHandler for Query {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.set_timer(Duration::from_secs(2));
    ///         cx.write(b"PING\r\n")?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let part = cx.read()?;
    ///         if part.is_empty() {
    ///             return Ok(Action::Close);
    ///         }
    ///         self.answer.extend_from_slice(&part);
    ///         if self.answer.ends_with(b"\r\n") {
    ///             // The answer is whole: back to the pool. `on_close` comes next.
    ///             cx.release()?;
    ///         }
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
    ///         // In the middle of an answer: no other user may get this connection.
    ///         Ok(Action::Close)
    ///     }
    ///     fn on_connect_fail(&mut self, error: io::Error) {
    ///         eprintln!("{error}");
    ///     }
    /// }
    ///
    /// struct Frontend {
    ///     backends: ConnectPool,
    /// }
    ///
    /// impl EvHandler for Frontend {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         if cx.read()?.is_empty() {
    ///             return Ok(Action::Close);
    ///         }
    ///         self.backends.get_with(cx, Query { answer: Vec::new() });
    ///         Ok(Action::Keep)
    ///     }
    /// }
    /// ```
    pub fn get_with<H: EvHandler>(&self, cx: &mut EvContext<'_>, handler: H) {
        pooled_handler::get_with(&self.shared, cx, Box::new(handler));
    }

    /// Returns the number of idle connections.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(listener.local_addr()?.to_string());
    /// pool.get().await?.release();
    /// assert_eq!(pool.idle(), 1);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn idle(&self) -> usize {
        self.shared.idle()
    }

    /// Returns the number of connections: idle, in use, and on their way.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(listener.local_addr()?.to_string());
    /// let (one, other) = (pool.get().await?, pool.get().await?);
    /// assert_eq!((pool.live(), pool.idle()), (2, 0));
    /// # drop((one, other));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn live(&self) -> usize {
        self.shared.live()
    }

    /// Returns the number of tasks and handlers that wait for a connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let addr = listener.local_addr()?.to_string();
    /// let pool = ConnectPool::builder(&addr).max_live(1).build();
    /// let only = pool.get().await?;
    /// let mut next = Box::pin(pool.get());
    /// assert!(futures::poll!(&mut next).is_pending());
    /// assert_eq!(pool.waiting(), 1);
    /// only.release();
    /// next.await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }
}

impl Clone for ConnectPool {
    fn clone(&self) -> ConnectPool {
        self.shared.add_handle();
        ConnectPool { shared: self.shared.clone() }
    }
}

impl Drop for ConnectPool {
    /// Closes idle connections with the last handle.
    fn drop(&mut self) {
        self.shared.remove_handle();
    }
}

impl fmt::Debug for ConnectPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectPool")
            .field("addr", &format_args!("{}", self.shared.addr()))
            .field("idle", &self.idle())
            .field("live", &self.live())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
