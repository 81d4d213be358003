//! The options of a listener whose connections are spread over pollers.
//!
//! This is a builder, with a method for each option. Those of the sockets are in `socket_options`.
//! What is done with it is in `bind`, which makes the sockets, and in `deliver_to_handler` and
//! `deliver_to_task`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::base::error::during;
use crate::net::addr::to_stream_addr::ToStreamAddr;
use crate::reactor::ReactorHandle;
use crate::sys::socket;

use super::balance::{Balance, Balancer};
use super::error_reporter::{ErrorCallback, ErrorReporter};
use super::options::BACKLOG;
use super::place::{ExistingSocket, Place};
use super::steering::Steering;

/// An address to listen at, with options, for connections that are spread over a reactor's pollers.
///
/// [`Acceptor::listen`] gives each connection a handler, and [`Acceptor::serve`] a task. Nothing
/// listens before one of them is called; both return a [`Listening`](crate::Listening), which
/// closes the listener.
///
/// # Examples
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
    /// Where it will listen.
    pub(crate) place: Place,
    /// What the sockets are made with.
    pub(crate) listen: socket::Listen,
    /// How the kernel chooses the listener of a connection.
    pub(crate) steering: Steering,
    /// How connections are spread.
    pub(crate) balance: Balance,
    /// The reactor that gets the connections; `None` is the one that listens.
    pub(crate) target: Option<ReactorHandle>,
    /// What is called with errors.
    pub(crate) on_error: ErrorCallback,
}

impl Acceptor {
    /// Returns an acceptor that will listen at `addr`, with the default options. The address may be
    /// `"0.0.0.0:80"`, `"[::]:80"`, `":80"` (every address of this machine, IPv4 and IPv6),
    /// `"unix:/path"`, `"unix:@abstract"`, a `SocketAddr`, a `Path`, or another address of
    /// [`ToStreamAddr`]. With port 0 the kernel chooses the port. An invalid address is an error of
    /// [`Acceptor::listen`].
    ///
    /// `":80"` and `"[::]:80"` are one socket for both families, whatever `net.ipv6.bindv6only`
    /// says (ipv6(7)); if the port of one family is taken, listening fails with `AddrInUse`. On a
    /// host without IPv6, `":80"` is `"0.0.0.0:80"`.
    ///
    /// At a path, the file of a Unix socket on which nothing listens any more is replaced. Any
    /// other file, also a symbolic link, is an error and left alone. The file is removed when the
    /// listener ends. See unix(7).
    ///
    /// # Examples
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
    pub fn new(addr: impl ToStreamAddr) -> Acceptor {
        Acceptor::at(Place::Address(addr.requested()))
    }

    /// Returns an acceptor for a socket that listens already: a listener of std, TCP or Unix, or
    /// the descriptor of one, as a service manager passes it on.
    ///
    /// It is one socket, whatever the number of pollers: the first one accepts, and the connections
    /// are spread as [`Acceptor::balance`] says. The socket becomes non-blocking, and with it every
    /// duplicate. Of the options, those that the kernel takes for a socket that listens are set on
    /// it; `backlog` and `only_v6` were decided when it was bound, and have no effect. `reuse_port`
    /// and steering are errors of [`Acceptor::listen`]. [`Listening::close`] closes the
    /// acceptor's descriptor; if other code has a duplicate, the kernel goes on listening. The file
    /// of a Unix socket is left alone.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the descriptor is not a stream socket that listens, and the errors
    /// of getsockname(2). Returns an error if the socket is neither TCP nor Unix.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Acceptor, Reactor};
    /// use std::os::fd::{FromRawFd, OwnedFd};
    ///
    /// /// Takes the first socket of a unit of systemd: sd_listen_fds(3).
    /// fn from_systemd() -> Option<OwnedFd> {
    ///     let is_ours = std::env::var("LISTEN_PID").ok()? == std::process::id().to_string();
    ///     let count: u32 = std::env::var("LISTEN_FDS").ok()?.parse().ok()?;
    ///     // SAFETY: systemd passes the sockets from descriptor 3 on, and this is called once.
    ///     (is_ours && count > 0).then(|| unsafe { OwnedFd::from_raw_fd(3) })
    /// }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let acceptor = match from_systemd() {
    ///     Some(socket) => Acceptor::from_std(socket)?,
    ///     None => Acceptor::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?,
    /// };
    /// let reactor = Reactor::builder().pollers(2).build()?;
    /// let listening = acceptor.serve(&reactor.handle(), |stream, _peer| async move {
    ///     futures::io::copy(&stream, &mut &stream).await
    /// })?;
    /// println!("listening on {}", listening.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Listening::close`]: crate::Listening::close
    pub fn from_std(listener: impl Into<OwnedFd>) -> io::Result<Acceptor> {
        let socket = ExistingSocket::new(listener.into().into());
        Ok(Acceptor::at(Place::Socket(
            socket.map_err(|error| during("Acceptor::from_std", error))?,
        )))
    }

    /// Returns an acceptor with the default options.
    fn at(place: Place) -> Acceptor {
        Acceptor {
            place,
            listen: socket::Listen::new(BACKLOG),
            steering: Steering::default(),
            balance: Balance::default(),
            target: None,
            on_error: ErrorCallback::default(),
        }
    }

    /// Sets how connections are spread over the pollers. Default: [`Balance::LeastLoaded`].
    ///
    /// # Examples
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

    /// Gives the connections to the pollers of another reactor. When that has ended, each
    /// connection is closed, and the error goes to the callback of [`Acceptor::on_error`]. Default:
    /// the reactor that listens.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Acceptor, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// // One poller accepts, and two others serve.
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

    /// Calls `callback` with each error: of accepting, of delivering a connection to its handler or
    /// task, of the tasks of [`Acceptor::try_serve`], and with the one that ends a listener, if one
    /// does. The callback runs on the pollers' threads and should not block. Default: errors of
    /// accepting are only counted, in [`PollerStats::accept_errors`](crate::PollerStats).
    ///
    /// No error of accept(2) ends a listener: see [`Listening`](crate::Listening).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").on_error(|error| eprintln!("{error}"));
    /// # drop(acceptor);
    /// ```
    pub fn on_error(mut self, callback: impl Fn(io::Error) + Send + Sync + 'static) -> Acceptor {
        self.on_error = ErrorCallback::new(callback);
        self
    }

    /// Returns what reports the errors of this address.
    pub(crate) fn error_reporter(&self) -> Arc<ErrorReporter> {
        Arc::new(ErrorReporter::new(self.place.to_string(), self.on_error.clone()))
    }

    /// Returns what spreads the connections if `on` listens.
    pub(crate) fn balancer(&self, on: &ReactorHandle) -> Balancer {
        Balancer::new(self.target.clone().unwrap_or_else(|| on.clone()), self.balance)
    }
}
