//! Connections to one address, kept to be used again.
//!
//! | file | noun |
//! |---|---|
//! | `mod` | the handle: counts, and ways to acquire |
//! | `builder` | its settings |
//! | `shared` | the pool: what is idle, and who waits |
//! | `grow` | how it gets more connections |
//! | `backoff` | pauses that grow with failures |
//! | `recycle` | what comes back, and what is fit to go on |
//! | `queue` | who waits, in order |
//! | `get` | the future of a task that waits |
//! | `pooled` | a connection in a task's hands |
//! | `pooled_handler` | a connection in a handler's hands |

mod backoff;
mod builder;
mod get;
mod grow;
mod pooled;
mod pooled_handler;
mod queue;
mod recycle;
mod shared;

use std::rc::Rc;
use std::{fmt, io};

use get::Get;
use shared::Shared;

use crate::local::context::EvContext;
use crate::local::handler::EvHandler;

pub use builder::PoolBuilder;
pub use pooled::Pooled;

/// Keeps connections to one address, for the tasks and handlers of one poller. It is a handle:
/// cloning it gives another handle to the same pool. A pool takes no lock, and only futures and
/// handlers wait for it, never the poller.
///
/// A pool lives in the poller that first uses it. [`with_local`](crate::with_local) can hold one
/// for each poller, or a pool is made where the tasks are spawned.
///
/// # Giving a connection back
/// A connection goes back to the pool only when its user says that no answer is outstanding:
/// [`Pooled::release`] in a task, [`EvContext::release`] in a handler. If it ends in any other way
/// it is closed: when the [`Pooled`] is dropped, when its task is cancelled, times out, panics or is
/// aborted, when the handler closes it or fails. So the next user never reads the answer to this
/// one's question.
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
/// In this order:
/// - an idle one, the one that was used last first. The pool looks at it before: a connection that
///   has ended, or on which bytes wait that were not asked for, is closed, and the next one is taken;
/// - a place in the queue, which tasks and handlers share. If fewer connections are on their way
///   than users wait, [`PoolBuilder::grow_by`] more are begun, up to [`PoolBuilder::max_live`]. The
///   first user in the queue gets the first connection that is made or given back.
///
/// # When the peer is down
/// When an attempt fails and no other one is on its way for the first user in the queue, that user
/// gets the error; if there is no connection at all then, every user in the queue does. After that
/// nothing is begun for a while: 5 ms at first, and twice as long each time that it fails again, up
/// to one second. Users that come meanwhile wait for the next attempt. So while the peer is down, a
/// user waits no longer than that second and one attempt; while all connections are in use, it waits
/// as long as they are ([`time::timeout`](crate::time::timeout) sets a limit).
///
/// # The end
/// When the last handle of a pool is dropped, idle connections are closed, and those in use are
/// closed when they are given back. When its poller ends, its connections are of no use any more.
#[must_use = "a pool does nothing until a connection is asked for"]
pub struct ConnectPool {
    shared: Rc<Shared>,
}

impl ConnectPool {
    /// Returns a pool of connections to `addr` with the default settings: see
    /// [`ConnectPool::builder`] for the form of the address, and for others.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::new("127.0.0.1:5432");
    /// // Nothing has been connected yet.
    /// assert_eq!(pool.live(), 0);
    /// ```
    pub fn new(addr: &str) -> ConnectPool {
        ConnectPool::builder(addr).build()
    }

    /// Begins a pool of connections to `addr`: `"127.0.0.1:80"`, `"[::1]:80"`, `"unix:/path"` or
    /// `"unix:@abstract"`. If the address is invalid, every request fails with that error.
    ///
    /// The streams of a Unix socket have no IP addresses; everything else works.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").min_idle(2).max_live(16).build();
    /// assert_eq!(pool.live(), 0);
    /// ```
    pub fn builder(addr: &str) -> PoolBuilder {
        PoolBuilder::new(addr)
    }

    /// Waits for a connection, for a task. [`Pooled::release`] gives it back; dropping it closes
    /// it, so a [`time::timeout`](crate::time::timeout) around a question and its answer is safe.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future leaves the queue, and what was on its way goes to the next
    /// user.
    ///
    /// ```
    /// use corepoll::{ConnectPool, net::TcpListener, time};
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    /// use std::{io, time::Duration};
    ///
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(&listener.local_addr()?.to_string());
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
    /// // The connection was closed: a late answer reaches no one else.
    /// assert_eq!((pool.idle(), pool.live()), (0, 0));
    /// # io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Attempt failed: see [above](ConnectPool#when-the-peer-is-down). There is no poller on this
    /// thread, or another one than the pool's.
    pub async fn get(&self) -> io::Result<Pooled> {
        Get::new(&self.shared).await
    }

    /// Gets a connection for a handler of this poller. [`EvHandler::on_open`] is called when there
    /// is one, at the end of this turn at the earliest, or [`EvHandler::on_connect_fail`] where
    /// [`ConnectPool::get`] would fail. The connection is registered for
    /// [`Interest::READABLE`](crate::Interest::READABLE).
    ///
    /// [`EvContext::release`] gives it back. If it ends in any other way it is closed, with
    /// [`Action::Close`](crate::Action::Close) too; if [`EvContext::take_stream`] takes it, it
    /// leaves the pool.
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
    ///         // In the middle of an answer: closed, and of no harm to others.
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
        self.shared.get_with(cx, Box::new(handler));
    }

    /// Returns how many connections are idle.
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(&listener.local_addr()?.to_string());
    /// pool.get().await?.release();
    /// assert_eq!(pool.idle(), 1);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn idle(&self) -> usize {
        self.shared.idle()
    }

    /// Returns how many connections there are: idle, in use, and on their way.
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(&listener.local_addr()?.to_string());
    /// let (one, other) = (pool.get().await?, pool.get().await?);
    /// assert_eq!((pool.live(), pool.idle()), (2, 0));
    /// # drop((one, other));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn live(&self) -> usize {
        self.shared.live()
    }

    /// Returns how many tasks and handlers wait for a connection.
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
    fn drop(&mut self) {
        self.shared.remove_handle();
    }
}

impl fmt::Debug for ConnectPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectPool")
            .field("addr", &self.shared.name())
            .field("idle", &self.idle())
            .field("live", &self.live())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
