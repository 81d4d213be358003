//! The settings of a pool.

use std::time::Duration;

use crate::net::addr::to_stream_addr::{Requested, ToStreamAddr};
use crate::net::connect::options::ConnectOptions;

use super::connect_pool::ConnectPool;
use super::settings::Settings;
use super::shared::Shared;

/// The most attempts that are begun at a time. A peer's backlog holds no more than a few thousand
/// connections (`net.core.somaxconn`), and a number without a limit would keep the poller from
/// everything else.
const MOST_AT_A_TIME: usize = 1024;

/// The default of [`PoolBuilder::connect_timeout`].
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The default of [`PoolBuilder::idle_timeout`].
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The default of [`PoolBuilder::max_live`]: far more than one poller needs, and few enough for the
/// descriptors of a process.
const MAX_LIVE: usize = 1024;

/// A builder of a [`ConnectPool`]: see [`ConnectPool::builder`].
///
/// # Examples
///
/// ```
/// use corepoll::{ConnectPool, PoolBuilder};
/// use std::time::Duration;
///
/// let builder: PoolBuilder = ConnectPool::builder("127.0.0.1:5432")
///     .max_live(16)
///     .connect_timeout(Duration::from_secs(1));
/// // A builder may make several pools: each has connections of its own.
/// let (reads, writes) = (builder.clone().build(), builder.max_live(1).build());
/// assert_eq!(reads.live() + writes.live(), 0);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PoolBuilder {
    /// What the pool connects to.
    addr: Requested,
    /// The limits and times of the pool.
    settings: Settings,
}

impl ConnectPool {
    /// Returns a pool of connections to `addr` with the default settings: see
    /// [`ConnectPool::builder`] for others.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::new("127.0.0.1:5432");
    /// // Nothing has been connected yet.
    /// assert_eq!(pool.live(), 0);
    /// ```
    pub fn new(addr: impl ToStreamAddr) -> ConnectPool {
        ConnectPool::builder(addr).build()
    }

    /// Returns a builder of a pool of connections to `addr`: `"127.0.0.1:80"`, `"unix:/path"`, a
    /// `SocketAddr`, a `Path`, or another address of [`ToStreamAddr`]. If the address is invalid,
    /// every request fails with that error.
    ///
    /// The streams of a Unix socket have no IP addresses; everything else works.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").min_idle(2).max_live(16).build();
    /// assert_eq!(pool.live(), 0);
    /// ```
    pub fn builder(addr: impl ToStreamAddr) -> PoolBuilder {
        let settings = Settings {
            min_idle: 0,
            max_live: MAX_LIVE,
            grow_by: 1,
            connect: ConnectOptions::new().timeout(CONNECT_TIMEOUT),
            idle_timeout: IDLE_TIMEOUT,
        };
        PoolBuilder { addr: addr.requested(), settings }
    }
}

impl PoolBuilder {
    /// Sets the number of connections that are kept idle, from the first use on. If there are
    /// fewer, more are made, one step of [`PoolBuilder::grow_by`] after the other. These don't
    /// expire. Default: 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").min_idle(4).build();
    /// # drop(pool);
    /// ```
    pub fn min_idle(mut self, n: usize) -> PoolBuilder {
        self.settings.min_idle = n;
        self
    }

    /// Sets the largest number of connections at a time: idle, in use and on their way. 0 is taken
    /// for 1. Default: 1024.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").max_live(32).build();
    /// # drop(pool);
    /// ```
    pub fn max_live(mut self, n: usize) -> PoolBuilder {
        // With a limit of 0 each request would wait forever.
        self.settings.max_live = n.max(1);
        self
    }

    /// Sets the number of connections that are begun together when one is missing, from 1 to 1024;
    /// another number is taken for the nearest of these. Connections for which no user waits become
    /// idle. Default: 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").min_idle(8).grow_by(2).build();
    /// # drop(pool);
    /// ```
    pub fn grow_by(mut self, n: usize) -> PoolBuilder {
        self.settings.grow_by = n.clamp(1, MOST_AT_A_TIME);
        self
    }

    /// Limits how long an attempt to connect may take. Default: 5 s.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// # use std::time::Duration;
    /// let limit = Duration::from_secs(1);
    /// let pool = ConnectPool::builder("127.0.0.1:5432").connect_timeout(limit).build();
    /// # drop(pool);
    /// ```
    pub fn connect_timeout(mut self, limit: Duration) -> PoolBuilder {
        self.settings.connect.timeout = Some(limit);
        self
    }

    /// Sets the options of the sockets: buffers, TCP_NODELAY, the local address. If the options
    /// have a time limit, it replaces that of [`PoolBuilder::connect_timeout`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{ConnectPool, net::ConnectOptions};
    /// let options = ConnectOptions::new().nodelay(true).recv_buffer_size(1024 * 1024);
    /// let pool = ConnectPool::builder("127.0.0.1:5432").connect_options(options).build();
    /// # drop(pool);
    /// ```
    pub fn connect_options(mut self, options: ConnectOptions) -> PoolBuilder {
        let timeout = options.timeout.or(self.settings.connect.timeout);
        self.settings.connect = ConnectOptions { timeout, ..options };
        self
    }

    /// Limits how long a connection may be idle before it is closed. The last
    /// [`PoolBuilder::min_idle`] connections are kept. With [`Duration::MAX`] none expires.
    /// Default: 60 s.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// # use std::time::Duration;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").idle_timeout(Duration::MAX).build();
    /// # drop(pool);
    /// ```
    pub fn idle_timeout(mut self, limit: Duration) -> PoolBuilder {
        self.settings.idle_timeout = limit;
        self
    }

    /// Returns the pool. This may be called outside of a poller: nothing is connected until a
    /// connection is asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").build();
    /// assert_eq!((pool.idle(), pool.live(), pool.waiting()), (0, 0, 0));
    /// ```
    pub fn build(self) -> ConnectPool {
        ConnectPool::from_shared(Shared::new(self.addr, self.settings))
    }
}
