//! Connections to one address, kept to be used again.
//!
//! | file | noun |
//! |---|---|
//! | `mod` | the handle: settings, counts, ways to acquire |
//! | `shared` | the pool: what is idle, and who waits |
//! | `growth` | how it gets more connections |
//! | `backoff` | pauses that grow with failures |
//! | `queue` | who waits, in order |
//! | `get` | the future of a task that waits |
//! | `pooled` | a connection in a task's hands |
//! | `leased` | a connection in a handler's hands |

mod backoff;
mod get;
mod growth;
mod leased;
mod pooled;
mod queue;
mod shared;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::poller::context::EvContext;
use crate::poller::handler::EvHandler;

use get::Get;
pub use pooled::Pooled;
use shared::Shared;

/// Keeps connections to one address, for the tasks and handlers of one poller. It is a handle:
/// cloning it gives another one to the same pool. There is no lock in it, and nothing waits but
/// futures and handlers.
///
/// A pool lives in the poller that first uses it. One for each poller comes from
/// [`with_local`](crate::with_local), or is made where the tasks are spawned.
///
/// Whoever wants a connection gets, in this order:
/// - an idle one, the one that was used last first. It is looked at before: one that has ended,
///   or on which something has come that nobody asked for, is thrown away, and the next one taken;
/// - a place in the queue, which tasks and handlers share. If fewer connections are on their way
///   than there are waiting, [`ConnectPool::grow_by`] more are begun, up to
///   [`ConnectPool::max_live`]. The first in the queue gets what is made, or given back, first.
///
/// When an attempt fails and no other one is on its way for the first in the queue, that one gets
/// the error; if there is no connection at all then, everybody in the queue does. After that
/// nothing is begun for a while: 5 ms at first, and twice as long each time that it fails again, up
/// to one second. Who comes meanwhile waits for the next attempt. So while the peer is down,
/// nobody waits longer than that second and one attempt; while all connections are in use, one
/// waits as long as they are ([`time::timeout`](crate::time::timeout) sets a limit).
///
/// When its last handle is dropped, idle connections are closed; those that are in use are closed
/// instead of given back. When its poller ends, its connections are of no use any more.
///
/// ```
/// use corepoll::ConnectPool;
/// use corepoll::net::TcpListener;
/// use futures::{AsyncReadExt, AsyncWriteExt};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let addr = listener.local_addr()?.to_string();
///     let server = corepoll::spawn_local(async move {
///         let (mut stream, _peer) = listener.accept().await?;
///         let mut request = [0; 4];
///         while stream.read_exact(&mut request).await.is_ok() {
///             stream.write_all(b"pong").await?;
///         }
///         std::io::Result::Ok(())
///     });
///
///     let pool = ConnectPool::new(&addr).max_live(8).idle_timeout(Duration::from_secs(30));
///     for _ in 0..2 {
///         // The same connection both times.
///         let mut stream = pool.get().await?;
///         stream.write_all(b"ping").await?;
///         let mut answer = [0; 4];
///         stream.read_exact(&mut answer).await?;
///         assert_eq!(&answer, b"pong");
///     }
///     assert_eq!((pool.idle(), pool.live(), pool.waiting()), (1, 1, 0));
///     drop(pool);
///     server.await.unwrap()
/// })
/// # }
/// ```
#[must_use = "a pool does nothing until a connection is asked for"]
pub struct ConnectPool {
    shared: Rc<Shared>,
}

impl ConnectPool {
    /// A pool of connections to `addr`: `"127.0.0.1:80"`, `"[::1]:80"`, `"unix:/path"`,
    /// `"unix:@abstract"`. It need not be made on a poller, and does nothing until a connection is
    /// asked for. An address that is none is the error of every request.
    ///
    /// The streams of a Unix socket have no IP addresses; all else works.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::new("127.0.0.1:5432");
    /// // Nothing has been connected yet.
    /// assert_eq!(pool.live(), 0);
    /// ```
    pub fn new(addr: &str) -> ConnectPool {
        let shared = Rc::new(Shared::new(addr));
        shared.add_handle();
        ConnectPool { shared }
    }

    /// How many connections are kept idle, from the first use on: fewer, and more are made, one
    /// step of [`ConnectPool::grow_by`] after the other. These don't expire. Default: 0.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::new("127.0.0.1:5432").min_idle(4);
    /// # drop(pool);
    /// ```
    pub fn min_idle(self, n: usize) -> ConnectPool {
        self.shared.settings.min_idle.set(n);
        self
    }

    /// How many connections there may be at a time, idle, in use, and on their way; at least one.
    /// Default: 1024.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::new("127.0.0.1:5432").max_live(32);
    /// # drop(pool);
    /// ```
    pub fn max_live(self, n: usize) -> ConnectPool {
        self.shared.settings.max_live.set(n.max(1));
        self
    }

    /// How many connections are begun at a time when one is missing; at least one. Those that
    /// nobody waits for become idle. Default: 1.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::new("127.0.0.1:5432").min_idle(8).grow_by(2);
    /// # drop(pool);
    /// ```
    pub fn grow_by(self, n: usize) -> ConnectPool {
        self.shared.settings.grow_by.set(n.max(1));
        self
    }

    /// How long an attempt to connect may take. Default: 5 s.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// # use std::time::Duration;
    /// let pool = ConnectPool::new("127.0.0.1:5432").connect_timeout(Duration::from_secs(1));
    /// # drop(pool);
    /// ```
    pub fn connect_timeout(self, limit: Duration) -> ConnectPool {
        self.shared.settings.connect_timeout.set(limit);
        self
    }

    /// How long a connection may be idle before it is closed, but for the last
    /// [`ConnectPool::min_idle`]. [`Duration::MAX`] is for ever. Default: 60 s.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// # use std::time::Duration;
    /// let pool = ConnectPool::new("127.0.0.1:5432").idle_timeout(Duration::MAX);
    /// # drop(pool);
    /// ```
    pub fn idle_timeout(self, limit: Duration) -> ConnectPool {
        self.shared.settings.idle_timeout.set(limit);
        self
    }

    /// A connection, for a task. It goes back to the pool when it is dropped.
    ///
    /// Cancel-safe: dropping the future leaves the queue, and what was on its way goes to the next
    /// one.
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(&listener.local_addr()?.to_string());
    /// let connection = pool.get().await?;
    /// connection.try_write(b"hello")?;
    /// assert_eq!(&*listener.accept().await?.0.read_chunk().await?, b"hello");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Connecting failed: see above. There is no poller on this thread, or another one than the
    /// pool's.
    pub async fn get(&self) -> io::Result<Pooled> {
        Get::new(&self.shared).await
    }

    /// A connection, for a handler of this poller: [`EvHandler::on_open`] when it has one, in the
    /// end of this turn at the earliest, or [`EvHandler::on_connect_fail`] as
    /// [`ConnectPool::get`] would fail. It is registered for
    /// [`Interest::READABLE`](crate::Interest::READABLE).
    ///
    /// The connection goes back to the pool after [`EvHandler::on_close`], if the handler has ended
    /// it ([`CloseReason::Requested`](crate::CloseReason::Requested)), all its output has been
    /// sent, and there is nothing left to read. One that is taken by
    /// [`EvContext::take_stream`] leaves the pool.
    ///
    /// ```
    /// use corepoll::{Action, ConnectPool, EvContext, EvHandler};
    /// use std::io;
    ///
    /// struct Query;
    ///
    /// impl EvHandler for Query {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.write(b"PING\r\n")?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let answer = cx.read()?;
    ///         println!("{answer:?}");
    ///         // Back to the pool.
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
    ///         self.backends.get_with(cx, Query);
    ///         Ok(Action::Keep)
    ///     }
    /// }
    /// ```
    pub fn get_with<H: EvHandler>(&self, cx: &mut EvContext<'_>, handler: H) {
        self.shared.get_with(cx, Box::new(handler));
    }

    /// How many connections are idle.
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(&listener.local_addr()?.to_string());
    /// drop(pool.get().await?);
    /// assert_eq!(pool.idle(), 1);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn idle(&self) -> usize {
        self.shared.idle()
    }

    /// How many connections there are: idle, in use, and on their way.
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

    /// How many tasks and handlers wait for a connection.
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::TcpListener};
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let pool = ConnectPool::new(&listener.local_addr()?.to_string()).max_live(1);
    /// let only = pool.get().await?;
    /// let mut next = Box::pin(pool.get());
    /// assert!(futures::poll!(&mut next).is_pending());
    /// assert_eq!(pool.waiting(), 1);
    /// drop(only);
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
