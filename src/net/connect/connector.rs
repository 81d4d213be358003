//! Attempt, with a handler for the connection.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::base::token::Token;
use crate::local::attempt::{Recipient, Target, failure};
use crate::local::context::EvContext;
use crate::local::errors::gone;
use crate::local::handle::PollerHandle;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::net::addr::to_socket_addrs::ToSocketAddrs;
use crate::net::connect::options::ConnectOptions;
use crate::net::connect::target::{begin, target};
use crate::net::listen::balance::{Balance, Balancer};
use crate::reactor::ReactorHandle;
use crate::task::{drop_ignoring_panic, ignore_panic};

/// Connects, from any thread, and gives each connection a handler on one of a reactor's pollers:
/// on the one that holds the fewest connections.
///
/// From inside a callback there is [`EvContext::connect`], which stays on its poller; for tasks
/// there is [`TcpStream::connect`](crate::net::TcpStream::connect).
///
/// ```
/// use corepoll::{Action, Connector, EvContext, EvHandler, Reactor};
/// use std::io::{self, Read};
/// use std::time::Duration;
///
/// struct Hello;
///
/// impl EvHandler for Hello {
///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         cx.write(b"hello\n")?;
///         Ok(Action::Close)
///     }
///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
///         Ok(Action::Close)
///     }
///     fn on_connect_fail(&mut self, error: io::Error) {
///         eprintln!("{error}");
///     }
/// }
///
/// # fn main() -> io::Result<()> {
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// Connector::new(&running.handle())
///     .timeout(Duration::from_secs(1))
///     .connect(&server.local_addr()?.to_string(), || Hello)?;
///
/// let mut greeting = String::new();
/// server.accept()?.0.read_to_string(&mut greeting)?;
/// assert_eq!(greeting, "hello\n");
/// # running.handle().shutdown(Duration::ZERO);
/// # running.join()?;
/// # Ok(())
/// # }
/// ```
///
/// # A client that reconnects
///
/// A handler that gets no connection, or has lost it, can have another one made after a pause, from
/// [`on_connect_fail`](EvHandler::on_connect_fail) too: [`ReactorHandle::current`] is the way to its
/// reactor. The pause grows with the failures, so that a server which comes up again is not overrun;
/// a shutdown cuts it short.
///
/// ```
/// use corepoll::{Action, CloseReason, Connector, EvContext, EvHandler, Reactor, ReactorHandle};
/// use corepoll::{shutdown_requested, spawn_local, time};
/// use std::{io, net::SocketAddr, time::Duration};
///
/// #[derive(Clone)]
/// struct Client {
///     server: SocketAddr,
///     /// How many attempts have failed since the last connection.
///     failures: u32,
/// }
///
/// impl Client {
///     /// Connects after 10, 20, 40, ... milliseconds, up to 1.28 seconds.
///     fn again(&self) {
///         // After the reactor's end there is nothing to connect on.
///         let Ok(reactor) = ReactorHandle::try_current() else { return };
///         let pause = Duration::from_millis(10 << self.failures.min(7));
///         let client = Client { failures: self.failures + 1, ..self.clone() };
///         drop(spawn_local(async move {
///             if time::timeout(pause, shutdown_requested()).await.is_err() {
///                 // The pause is over. An error says that the reactor has ended meanwhile.
///                 let _ = Connector::new(&reactor).connect(client.server, move || client);
///             }
///         }));
///     }
/// }
///
/// impl EvHandler for Client {
///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         self.failures = 0;
///         cx.write(b"here I am\n")?;
///         Ok(Action::Keep)
///     }
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
///     }
///     fn on_connect_fail(&mut self, _: io::Error) {
///         self.again();
///     }
///     fn on_close(&mut self, _: &mut EvContext<'_>, _: CloseReason) {
///         self.again();
///     }
/// }
///
/// # fn main() -> io::Result<()> {
/// # use std::io::{BufRead, BufReader};
/// # let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
/// # socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
/// # let server = socket.local_addr()?.as_socket().unwrap();
/// let running = Reactor::builder().pollers(1).build()?.start()?;
/// let client = Client { server, failures: 0 };
/// // No server listens there yet.
/// Connector::new(&running.handle()).connect(server, move || client)?;
/// # socket.listen(1)?;
/// # let listener: std::net::TcpListener = socket.into();
/// # for _ in 0..2 {
/// #     let mut line = String::new();
/// #     BufReader::new(listener.accept()?.0).read_line(&mut line)?;
/// #     assert_eq!(line, "here I am\n");
/// # }
/// running.handle().shutdown(Duration::from_secs(5));
/// running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a connector does nothing until `connect` is called"]
pub struct Connector {
    /// Chooses the poller.
    balancer: Balancer,
    /// What the sockets are made with, and how long it may take.
    options: ConnectOptions,
}

impl Connector {
    /// Will connect on the pollers of `on`.
    ///
    /// ```
    /// # use corepoll::{Connector, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let connector = Connector::new(&reactor.handle());
    /// # drop(connector);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(on: &ReactorHandle) -> Connector {
        let balancer = Balancer::new(on.clone(), Balance::LeastLoaded);
        Connector { balancer, options: ConnectOptions::new() }
    }

    /// Takes over all options at once, in place of those that were set before.
    ///
    /// ```
    /// # use corepoll::{Connector, Reactor, net::ConnectOptions};
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let options = ConnectOptions::new().nodelay(true);
    /// let connector = Connector::new(&reactor.handle()).options(options);
    /// # drop(connector);
    /// # Ok(())
    /// # }
    /// ```
    pub fn options(mut self, options: ConnectOptions) -> Connector {
        self.options = options;
        self
    }

    /// How long an attempt may take, from when its poller begins it: for all addresses together, the
    /// look-up of a host name included. Default: as long as the kernel tries, which is about two
    /// minutes (tcp_syn_retries in tcp(7)).
    ///
    /// ```
    /// # use corepoll::{Connector, Reactor};
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let connector = Connector::new(&reactor.handle()).timeout(Duration::from_secs(3));
    /// # drop(connector);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Connector {
        self.options = self.options.timeout(limit);
        self
    }

    /// Connects from this local address. With port 0 the kernel chooses the port when it knows the
    /// target, so that one local port may serve many targets (IP_BIND_ADDRESS_NO_PORT in ip(7)).
    /// Of several addresses, those of the same family are tried. Not for Unix sockets.
    ///
    /// ```
    /// # use corepoll::{Connector, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// // From this address, at any port.
    /// let connector = Connector::new(&reactor.handle()).bind_local(([127, 0, 0, 1], 0).into());
    /// # drop(connector);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind_local(mut self, from: SocketAddr) -> Connector {
        self.options = self.options.bind_local(from);
        self
    }

    /// SO_RCVBUF in bytes, set before the connect, since the window scale is told with the first
    /// segment: see [`ConnectOptions::recv_buffer_size`]. Default: the system's.
    ///
    /// ```
    /// # use corepoll::{Connector, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let connector = Connector::new(&reactor.handle()).recv_buffer_size(4 * 1024 * 1024);
    /// # drop(connector);
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_buffer_size(mut self, n: usize) -> Connector {
        self.options = self.options.recv_buffer_size(n);
        self
    }

    /// SO_SNDBUF in bytes. Default: the system's.
    ///
    /// ```
    /// # use corepoll::{Connector, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let connector = Connector::new(&reactor.handle()).send_buffer_size(256 * 1024);
    /// # drop(connector);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_buffer_size(mut self, n: usize) -> Connector {
        self.options = self.options.send_buffer_size(n);
        self
    }

    /// Connects to `addr`: `"127.0.0.1:80"`, `"[::1]:80"`, `"unix:/path"`, `"unix:@abstract"`, or one
    /// or several `SocketAddr`s; with the feature `blocking` also a host name, `"example.org:80"`,
    /// which is looked up on another thread. The handler that `factory` makes on the poller's thread
    /// is registered for [`Interest::READABLE`](crate::Interest::READABLE). Returns at once; may be
    /// called from any thread, and before the reactor is started.
    ///
    /// Several addresses are tried by RFC 8305 ("Happy Eyeballs"): IPv6 and IPv4 take turns, beginning
    /// with the first address, and the next one is tried when the one before has failed, or has not
    /// answered for 250 ms. The first connection wins, and the others are closed.
    ///
    /// Exactly one of two calls comes. [`EvHandler::on_open`], when the connection is made; and
    /// [`EvHandler::on_connect_fail`], with the operation and the address in the error, when it
    /// is refused or unreachable, when the time is over (`TimedOut`), when there are no
    /// descriptors, or when the poller ends before (`NotConnected`). A connection that meets
    /// itself, which TCP allows for one's own ephemeral ports, counts as refused. If `factory`
    /// panics, there is no connection and no call.
    ///
    /// During a shutdown an attempt goes on within the grace, as a connection does.
    ///
    /// ```
    /// # use corepoll::{Action, Connector, EvContext, EvHandler, Reactor};
    /// # use std::{io, sync::mpsc, time::Duration};
    /// # fn main() -> std::io::Result<()> {
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// # let addr = format!("unix:@corepoll-doc-connect-{}", std::process::id());
    /// struct Report(mpsc::Sender<io::ErrorKind>);
    ///
    /// impl EvHandler for Report {
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Close)
    ///     }
    ///     fn on_connect_fail(&mut self, error: io::Error) {
    ///         let _ = self.0.send(error.kind());
    ///     }
    /// }
    ///
    /// // Nobody listens there.
    /// let (sender, receiver) = mpsc::channel();
    /// Connector::new(&running.handle()).connect(&addr, || Report(sender))?;
    /// assert_eq!(receiver.recv().unwrap(), io::ErrorKind::ConnectionRefused);
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The address is malformed, there is none, or it is a host name and the feature `blocking` is
    /// off; or the reactor has ended. Then `factory` is not called.
    pub fn connect<H: EvHandler>(
        &self,
        addr: impl ToSocketAddrs,
        factory: impl FnOnce() -> H + Send + 'static,
    ) -> io::Result<()> {
        let target = target(&addr, &self.options)?;
        let here = Local::current();
        let poller = self.balancer.least_loaded(here.as_deref().map(|local| &local.handle));
        let pending = PendingConnect { poller: poller.clone(), work: Some((target, factory)) };
        poller.run_on(move || pending.begin()).map_err(|refused| {
            // There, `begin` finds that its poller is not this one or has ended, and lets everything go.
            refused();
            gone()
        })
    }
}

impl EvContext<'_> {
    /// Connects to `addr` on this poller: what a proxy needs. Addresses and calls are those of
    /// [`Connector::connect`]; there is no time limit but the kernel's, and [`EvContext::close`]
    /// with the token ends the attempt: `on_connect_fail` with `ConnectionAborted`.
    ///
    /// No call comes inside this one: an attempt that fails at once has its `on_connect_fail`
    /// later in this turn. Its token is gone after that; otherwise it is the connection's.
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler};
    /// use std::io;
    ///
    /// struct Upstream;
    /// # impl EvHandler for Upstream {
    /// #     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #         Ok(Action::Close)
    /// #     }
    /// # }
    ///
    /// struct Proxy;
    ///
    /// impl EvHandler for Proxy {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.connect("127.0.0.1:8080", Upstream)?;
    ///         Ok(Action::Keep)
    ///     }
    /// #   fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #       Ok(Action::Close)
    /// #   }
    /// }
    /// ```
    ///
    /// # Errors
    /// The address is malformed, there is none, or it is a host name and the feature `blocking` is
    /// off: the handler is dropped.
    pub fn connect<H: EvHandler>(
        &mut self,
        addr: impl ToSocketAddrs,
        handler: H,
    ) -> io::Result<Token> {
        let target = target(&addr, &ConnectOptions::new())?;
        self.local.handle.join();
        Ok(begin(self.local, target, Recipient::Handler(Box::new(handler))))
    }
}

/// An attempt on its way to its poller, which may end before it comes to it.
struct PendingConnect<H: EvHandler, F: FnOnce() -> H> {
    /// Where it goes. It is counted there.
    poller: PollerHandle,
    /// None once it has been begun, or taken back.
    work: Option<(Target, F)>,
}

impl<H: EvHandler, F: FnOnce() -> H> PendingConnect<H, F> {
    fn begin(mut self) {
        let work = self.work.take();
        let local =
            Local::current().filter(|local| local.handle.is_same(&self.poller) && !local.is_gone());
        let (Some((target, factory)), Some(local)) = (work, local) else {
            return self.poller.leave();
        };
        match catch_unwind(AssertUnwindSafe(factory)) {
            Ok(handler) => {
                begin(&local, target, Recipient::Handler(Box::new(handler)));
            }
            Err(panic) => {
                self.poller.leave();
                drop_ignoring_panic(panic);
            }
        }
    }
}

impl<H: EvHandler, F: FnOnce() -> H> Drop for PendingConnect<H, F> {
    /// The poller has ended without opening this piece of mail. The handler is told all the same.
    fn drop(&mut self) {
        let Some((target, factory)) = self.work.take() else { return };
        self.poller.leave();
        ignore_panic(|| factory().on_connect_fail(failure(&target, gone())));
    }
}
