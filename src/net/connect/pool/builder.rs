//! The settings of a pool.

use std::rc::Rc;
use std::time::Duration;

use crate::net::connect::options::ConnectOptions;

use super::ConnectPool;
use super::shared::Shared;

/// The most connections that are begun at a time. A peer's backlog holds no more than a few
/// thousand (`net.core.somaxconn`), and a number without a limit would keep the poller from
/// everything else.
const MOST_AT_A_TIME: usize = 1024;

/// How long an attempt may take, unless the builder says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a builder sets.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) min_idle: usize,
    pub(crate) max_live: usize,
    pub(crate) grow_by: usize,
    /// The time limit of an attempt included.
    pub(crate) connect: ConnectOptions,
    pub(crate) idle_timeout: Duration,
}

/// Makes a [`ConnectPool`] with settings of its own: [`ConnectPool::builder`].
///
/// ```
/// use corepoll::{ConnectPool, PoolBuilder};
/// use std::time::Duration;
///
/// let builder: PoolBuilder = ConnectPool::builder("127.0.0.1:5432")
///     .max_live(16)
///     .connect_timeout(Duration::from_secs(1));
/// // One builder may make many pools: each of them is a pool of its own.
/// let (reads, writes) = (builder.clone().build(), builder.max_live(1).build());
/// assert_eq!(reads.live() + writes.live(), 0);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PoolBuilder {
    addr: Box<str>,
    settings: Settings,
}

impl PoolBuilder {
    pub(crate) fn new(addr: &str) -> PoolBuilder {
        let settings = Settings {
            min_idle: 0,
            max_live: 1024,
            grow_by: 1,
            connect: ConnectOptions::new().timeout(CONNECT_TIMEOUT),
            idle_timeout: Duration::from_secs(60),
        };
        PoolBuilder { addr: addr.into(), settings }
    }

    /// Sets how many connections are kept idle, from the first use on. If there are fewer, more are
    /// made, one step of [`PoolBuilder::grow_by`] after the other. These don't expire. Default: 0.
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

    /// Sets how many connections there may be at a time: idle, in use and on their way. At least
    /// one. Default: 1024.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").max_live(32).build();
    /// # drop(pool);
    /// ```
    pub fn max_live(mut self, n: usize) -> PoolBuilder {
        self.settings.max_live = n.max(1);
        self
    }

    /// Sets how many connections are begun at a time when one is missing, from 1 to 1024; other
    /// numbers are taken for the nearest of these. Connections for which no user waits become idle.
    /// Default: 1.
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

    /// Sets how long an attempt to connect may take. Default: 5 s.
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

    /// Sets what the sockets are made with: buffers, TCP_NODELAY, the local address. If the options
    /// have a time limit, it is set as by [`PoolBuilder::connect_timeout`].
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

    /// Sets how long a connection may be idle before it is closed, except for the last
    /// [`PoolBuilder::min_idle`]. With [`Duration::MAX`] none expires. Default: 60 s.
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

    /// Returns the pool. It need not be called on a poller: nothing is connected until a connection
    /// is asked for.
    ///
    /// ```
    /// # use corepoll::ConnectPool;
    /// let pool = ConnectPool::builder("127.0.0.1:5432").build();
    /// assert_eq!((pool.idle(), pool.live(), pool.waiting()), (0, 0, 0));
    /// ```
    pub fn build(self) -> ConnectPool {
        let shared = Rc::new(Shared::new(self.addr, self.settings));
        shared.add_handle();
        ConnectPool { shared }
    }
}
