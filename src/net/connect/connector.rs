//! Connecting from any thread, with a handler for the connection.
//!
//! The attempt goes to its poller as a piece of mail ([`PendingConnect`]). It may never arrive,
//! since pollers end while mail is on its way. Its drop then makes the call that the handler was
//! promised.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::local::attempt::{Recipient, Target, failure};
use crate::local::errors::poller_ended;
use crate::local::handle::PollerHandle;
use crate::local::handler::EvHandler;
use crate::local::state::Local;
use crate::net::addr::to_stream_addr::ToStreamAddr;
use crate::net::connect::options::ConnectOptions;
use crate::net::connect::target;
use crate::net::listen::balance::{Balance, Balancer};
use crate::reactor::ReactorHandle;
use crate::task::{drop_ignoring_panic, ignore_panic, report_panic};

/// The options of connections that any thread may make. Each connection gets a handler on the poller
/// of a reactor that has the fewest connections.
///
/// Inside a callback, [`EvContext::connect`](crate::EvContext::connect) connects on the same
/// poller; in a task, [`TcpStream::connect`](crate::net::TcpStream::connect) does.
///
/// # Examples
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
///     .connect(server.local_addr()?, || Hello)?;
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
/// A handler that gets no connection, or has lost it, can connect again after a pause, also from
/// [`on_connect_fail`](EvHandler::on_connect_fail): [`ReactorHandle::current`] returns its reactor.
/// The pause grows with the failures, so that a server that comes up again is not overrun. A
/// shutdown cuts it short.
///
/// ```
/// use corepoll::{Action, CloseReason, Connector, EvContext, EvHandler, Reactor, ReactorHandle};
/// use corepoll::{shutdown_requested, spawn_local, time};
/// use std::{io, net::SocketAddr, time::Duration};
///
/// #[derive(Clone)]
/// struct Client {
///     server: SocketAddr,
///     /// The number of attempts that have failed since the last connection.
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
    /// Chooses the poller of each connection.
    balancer: Balancer,
    /// What the sockets are made with, and the time limit.
    options: ConnectOptions,
}

impl Connector {
    /// Returns a connector for the pollers of `on`.
    ///
    /// # Examples
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

    /// Sets all options at once, in place of those that were set before.
    ///
    /// # Examples
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

    /// Limits how long an attempt may take, from when its poller begins it: for all addresses
    /// together, with the look-up of a host name. Default: as long as the kernel tries, which is
    /// about two minutes (`tcp_syn_retries` in tcp(7)).
    ///
    /// # Examples
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

    /// Connects from the local address `from`. With port 0 the kernel chooses the port when it
    /// knows the target, so that one local port can serve many targets (`IP_BIND_ADDRESS_NO_PORT`
    /// in ip(7)). Of several targets, those of the same address family are tried. This is not for
    /// Unix sockets: connecting to one fails.
    ///
    /// # Examples
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

    /// Sets the size of the receive buffer in bytes (`SO_RCVBUF` in socket(7)), before connecting:
    /// see [`ConnectOptions::recv_buffer_size`]. Default: the system's.
    ///
    /// # Examples
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

    /// Sets the size of the send buffer in bytes (`SO_SNDBUF` in socket(7)). Default: the system's.
    ///
    /// # Examples
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

    /// Connects to `addr`: `"127.0.0.1:80"`, `"unix:/path"`, one or several `SocketAddr`s, a
    /// `Path`, or another address of [`ToStreamAddr`]. With the feature `blocking` it may be a host
    /// name, `"example.org:80"`, which is looked up on another thread. The handler that `factory`
    /// makes on the poller's thread is registered for
    /// [`Interest::READABLE`](crate::Interest::READABLE). Returns at once; may be called from any
    /// thread, and before the reactor is started.
    ///
    /// Several addresses are tried by RFC 8305 ("Happy Eyeballs"): IPv6 and IPv4 take turns,
    /// beginning with the family of the first address. The next one is tried when the one before
    /// has failed, or has not answered for 250 ms. The first connection wins, and the others are
    /// closed.
    ///
    /// The handler gets exactly one of two calls:
    ///
    /// - [`EvHandler::on_open`] when the connection is made;
    /// - [`EvHandler::on_connect_fail`] with an error that names the operation and the address: the
    ///   peer refuses the connection or is unreachable, the time is over (`TimedOut`), there are no
    ///   descriptors, or the poller ends before (`NotConnected`). A TCP connection to itself, which
    ///   the kernel can make between ephemeral ports, counts as refused.
    ///
    /// If `factory` panics, there is no connection and no call. During a shutdown an attempt goes
    /// on within the grace, as a connection does.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is malformed, if there is none, if it is a host name and the
    /// feature `blocking` is off, or if the reactor has ended (`NotConnected`). Then `factory` is
    /// not called.
    ///
    /// # Examples
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
    /// // Nothing listens there.
    /// let (sender, receiver) = mpsc::channel();
    /// Connector::new(&running.handle()).connect(&addr, || Report(sender))?;
    /// assert_eq!(receiver.recv().unwrap(), io::ErrorKind::ConnectionRefused);
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<H: EvHandler>(
        &self,
        addr: impl ToStreamAddr,
        factory: impl FnOnce() -> H + Send + 'static,
    ) -> io::Result<()> {
        // Parsed on this thread: a malformed address is an error here, and not a call of the
        // handler.
        let target = target::parse(&addr.requested(), &self.options)?;
        // On a poller's thread that poller is preferred: the attempt needs no wake-up then.
        let here = Local::current();
        let poller = self.balancer.least_loaded(here.as_deref().map(|local| &local.handle));
        let pending = PendingConnect { poller: poller.clone(), work: Some((target, factory)) };
        poller.run_on(move || pending.begin()).map_err(|refused| {
            // Called here, `begin` finds that its poller is another one or has ended, and drops
            // what it holds.
            refused();
            poller_ended()
        })
    }
}

/// An attempt to connect, on its way to its poller, which may end before it arrives.
struct PendingConnect<H: EvHandler, F: FnOnce() -> H> {
    /// The poller that the attempt goes to, which counts it already.
    poller: PollerHandle,
    /// What to connect to, and what makes the handler; `None` once it has been begun.
    work: Option<(Target, F)>,
}

impl<H: EvHandler, F: FnOnce() -> H> PendingConnect<H, F> {
    /// Begins the attempt, on the thread of its poller.
    fn begin(mut self) {
        // Taken out before anything can fail: what is left for the drop is an attempt that was not
        // begun.
        let work = self.work.take();
        let local = Local::current()
            .filter(|local| local.handle.is_same(&self.poller) && !local.has_ended());
        let (Some((target, factory)), Some(local)) = (work, local) else {
            // The poller has ended, or this is the closure of an attempt that was refused. The work
            // is dropped without a call, for `connect` returns the error.
            return self.poller.decrement_load();
        };
        match catch_unwind(AssertUnwindSafe(factory)) {
            Ok(handler) => {
                target::connect(&local, target, Recipient::Handler(Box::new(handler)));
            }
            Err(panic) => {
                // There is no handler that could be told.
                self.poller.decrement_load();
                report_panic(&*panic);
                // The value of a panic is the user's, and may panic when it is dropped.
                drop_ignoring_panic(panic);
            }
        }
    }
}

impl<H: EvHandler, F: FnOnce() -> H> Drop for PendingConnect<H, F> {
    /// Tells the handler if the poller has ended without opening this piece of mail.
    fn drop(&mut self) {
        let Some((target, factory)) = self.work.take() else { return };
        self.poller.decrement_load();
        ignore_panic(|| factory().on_connect_fail(failure(&target, poller_ended())));
    }
}
