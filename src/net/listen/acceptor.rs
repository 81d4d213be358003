//! Listening, with a handler for each connection.

use std::io;
use std::time::Duration;

use crate::reactor::ReactorHandle;
use crate::sys::socket;

use crate::net::listen::balance::Balance;
use crate::net::listen::error_reporter::ErrorCallback;
use crate::net::listen::options::BACKLOG;

/// Listens, and gives each connection a handler ([`Acceptor::listen`]) or a task
/// ([`Acceptor::serve`]).
///
/// ```
/// use corepoll::{Acceptor, Action, Balance, EvContext, EvHandler, Reactor};
///
/// struct Hello;
///
/// impl EvHandler for Hello {
///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
///         cx.write(b"hello\n")?;
///         Ok(Action::Close)
///     }
///     fn on_read(&mut self, _: &mut EvContext<'_>) -> std::io::Result<Action> {
///         Ok(Action::Close)
///     }
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder().pollers(2).build()?;
/// let listening = Acceptor::new("127.0.0.1:0")
///     .reuse_port(true)
///     .backlog(1024)
///     .balance(Balance::LeastLoaded)
///     .listen(&reactor.handle(), || Hello)?;
/// println!("listening on {}", listening.local_addr()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "an acceptor does nothing until `listen` is called"]
pub struct Acceptor {
    pub(crate) address: String,
    pub(crate) listen: socket::Listen,
    /// A connection goes to the listener of the processor that it came in on.
    pub(crate) steer_by_cpu: bool,
    pub(crate) balance: Balance,
    /// None: the reactor that listens.
    pub(crate) target: Option<ReactorHandle>,
    /// What hears of errors.
    pub(crate) on_error: ErrorCallback,
}

impl Acceptor {
    /// Will listen at `addr`: `"0.0.0.0:80"`, `"[::]:80"`, `":80"` (every address of this
    /// machine, IPv4 and IPv6), `"unix:/path"`, `"unix:@abstract"`. Port 0 lets the kernel choose.
    ///
    /// `":80"` and `"[::]:80"` are one socket for both families, whatever net.ipv6.bindv6only says
    /// (ipv6(7)); if the port of one family is taken, listening fails with `AddrInUse`. On a host
    /// without IPv6 `":80"` is `"0.0.0.0:80"`.
    ///
    /// At a path, the file of a Unix socket on which nobody listens any more is replaced; any
    /// other file, a symbolic link too, is an error and left alone. The file is removed when the
    /// listener ends. See unix(7).
    ///
    /// ```
    /// # use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// # struct Drain;
    /// # impl EvHandler for Drain {
    /// #     fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
    /// #         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    /// #     }
    /// # }
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// // At a port that the kernel chooses.
    /// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Drain)?;
    /// assert_ne!(listening.local_addr()?.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(addr: &str) -> Acceptor {
        Acceptor {
            address: addr.to_owned(),
            listen: socket::Listen::new(BACKLOG),
            steer_by_cpu: false,
            balance: Balance::default(),
            target: None,
            on_error: ErrorCallback::default(),
        }
    }

    /// With SO_REUSEPORT every poller has a listener of its own, and the kernel brings each
    /// connection to one of them; without, the first poller listens. Default: without. Where a
    /// connection goes from there is [`Acceptor::balance`]'s.
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").reuse_port(true);
    /// # drop(acceptor);
    /// ```
    pub fn reuse_port(mut self, on: bool) -> Acceptor {
        self.listen.reuse_port = on;
        self
    }

    /// How many connections may wait to be accepted; the kernel cuts it at net.core.somaxconn.
    /// Default: 4096.
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").backlog(512);
    /// # drop(acceptor);
    /// ```
    pub fn backlog(mut self, n: u32) -> Acceptor {
        self.listen.backlog = n;
        self
    }

    /// SO_RCVBUF in bytes, which accepted connections inherit. Default: the system's.
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").recv_buffer_size(64 * 1024);
    /// # drop(acceptor);
    /// ```
    pub fn recv_buffer_size(mut self, n: usize) -> Acceptor {
        self.listen.recv_buffer_size = Some(n);
        self
    }

    /// SO_SNDBUF in bytes, which accepted connections inherit. Default: the system's.
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").send_buffer_size(256 * 1024);
    /// # drop(acceptor);
    /// ```
    pub fn send_buffer_size(mut self, n: usize) -> Acceptor {
        self.listen.send_buffer_size = Some(n);
        self
    }

    /// TCP_NODELAY of the connections: whether small segments are sent at once. They inherit it from
    /// the listener, so it costs no system call for each. Default: off. See tcp(7).
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").nodelay(true);
    /// # drop(acceptor);
    /// ```
    pub fn nodelay(mut self, on: bool) -> Acceptor {
        self.listen.nodelay = on;
        self
    }

    /// TCP_DEFER_ACCEPT: a connection is accepted when its first bytes have come, or after `limit`,
    /// which the kernel rounds up to some seconds. Saves the wake-up in which there is nothing to
    /// read; not for protocols in which the server speaks first. Nothing for Unix sockets. See
    /// tcp(7). Default: off.
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// # use std::time::Duration;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").defer_accept(Duration::from_secs(5));
    /// # drop(acceptor);
    /// ```
    pub fn defer_accept(mut self, limit: Duration) -> Acceptor {
        self.listen.defer_accept = Some(limit);
        self
    }

    /// With [`Acceptor::reuse_port`]: the kernel brings each connection to the poller whose index
    /// is the number of the processor that the connection's first packet was handled on, modulo the
    /// number of pollers; and not to one chosen by a hash. So where the pollers are placed on the
    /// processors 0, 1, 2, ..., a packet stays on its processor all the way
    /// (SO_ATTACH_REUSEPORT_CBPF of socket(7)).
    ///
    /// With [`Balance::Local`] connections stay there; the default hands over those that are too
    /// many for a poller. Default: off.
    ///
    /// ```
    /// # use corepoll::{Acceptor, Balance};
    /// let acceptor = Acceptor::new("0.0.0.0:8080")
    ///     .reuse_port(true)
    ///     .steer_by_cpu(true)
    ///     .balance(Balance::Local);
    /// # drop(acceptor);
    /// ```
    pub fn steer_by_cpu(mut self, on: bool) -> Acceptor {
        self.steer_by_cpu = on;
        self
    }

    /// How connections are spread over the pollers. Default: [`Balance::LeastLoaded`].
    ///
    /// ```
    /// # use corepoll::{Acceptor, Balance};
    /// let acceptor = Acceptor::new("0.0.0.0:8080").balance(Balance::RoundRobin);
    /// # drop(acceptor);
    /// ```
    pub fn balance(mut self, balance: Balance) -> Acceptor {
        self.balance = balance;
        self
    }

    /// Gives the connections to the pollers of another reactor. Default: the one that listens. When
    /// the other one has ended, each connection is closed, and that is told to
    /// [`Acceptor::on_error`].
    ///
    /// ```
    /// # use corepoll::{Acceptor, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// // One poller accepts, and two others have the connections.
    /// let front = Reactor::builder().pollers(1).build()?;
    /// let workers = Reactor::builder().pollers(2).build()?;
    /// let acceptor = Acceptor::new("127.0.0.1:0").deliver_to(&workers.handle());
    /// # drop((acceptor, front));
    /// # Ok(())
    /// # }
    /// ```
    pub fn deliver_to(mut self, reactor: &ReactorHandle) -> Acceptor {
        self.target = Some(reactor.clone());
        self
    }
    /// Calls `hear` with each error: of accepting, of giving a connection to its handler or task, of
    /// tasks of [`Acceptor::try_serve`], and with the one that ends a listener, if one does. It is
    /// called on the pollers' threads, and should not block. Default: errors of accepting are only
    /// counted, in [`PollerStats::accept_errors`](crate::PollerStats).
    ///
    /// No error of accept(2) ends a listener: see [`Listening`](crate::Listening).
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").on_error(|error| eprintln!("{error}"));
    /// # drop(acceptor);
    /// ```
    pub fn on_error(mut self, hear: impl Fn(io::Error) + Send + Sync + 'static) -> Acceptor {
        self.on_error = ErrorCallback::new(hear);
        self
    }
}
