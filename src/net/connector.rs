//! Connecting, with a handler for the connection.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::base::token::Token;
use crate::poller::connecting::{Recipient, Target, failure};
use crate::poller::context::EvContext;
use crate::poller::handle::{PollerHandle, gone};
use crate::poller::handler::EvHandler;
use crate::poller::local::Local;
use crate::reactor::ReactorHandle;
use crate::task::{call_quietly, drop_quietly};

use super::endpoint::Endpoint;
use super::spread::{Balance, Spread};

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
#[derive(Debug, Clone)]
#[must_use = "a connector does nothing until `connect` is called"]
pub struct Connector {
    /// Chooses the poller.
    spread: Spread,
    /// How long an attempt may take.
    timeout: Option<Duration>,
    /// The local address.
    from: Option<SocketAddr>,
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
        let spread = Spread::new(on.clone(), Balance::LeastLoaded);
        Connector { spread, timeout: None, from: None }
    }

    /// How long an attempt may take, from when its poller begins it. Default: as long as the
    /// kernel tries, which is about two minutes (tcp_syn_retries in tcp(7)).
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
        self.timeout = Some(limit);
        self
    }

    /// Connects from this local address. With port 0 the kernel chooses the port when it knows the
    /// target, so that one local port may serve many targets (IP_BIND_ADDRESS_NO_PORT in ip(7)).
    /// Not for Unix sockets.
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
        self.from = Some(from);
        self
    }

    /// Connects to `addr`: `"127.0.0.1:80"`, `"[::1]:80"`, `"unix:/path"`, `"unix:@abstract"`. The
    /// handler that `factory` makes on the poller's thread is registered for
    /// [`Interest::READABLE`](crate::Interest::READABLE). Returns at once; may be called from any
    /// thread, and before the reactor is started.
    ///
    /// Exactly one of two calls comes. [`EvHandler::on_open`], when the connection is made; and
    /// [`EvHandler::on_connect_fail`], with the operation and the address in the error, when it
    /// is refused or unreachable, when the time is over (`TimedOut`), when there are no
    /// descriptors, or when the poller ends before (`ConnectionAborted`). A connection that meets
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
    /// The address is malformed, or a host name; or the reactor has ended. Then `factory` is not
    /// called.
    pub fn connect<H: EvHandler>(
        &self,
        addr: &str,
        factory: impl FnOnce() -> H + Send + 'static,
    ) -> io::Result<()> {
        let target = target(addr, self.timeout, self.from)?;
        let here = Local::current();
        let poller = self.spread.least_loaded(here.as_deref().map(|local| &local.handle));
        let order = Order { poller: poller.clone(), work: Some((target, factory)) };
        poller.run_on(move || order.begin()).map_err(|refused| {
            // There, `begin` finds that it is not on its poller, and lets everything go.
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
    /// The address is malformed, or a host name: the handler is dropped.
    pub fn connect<H: EvHandler>(&mut self, addr: &str, handler: H) -> io::Result<Token> {
        let target = target(addr, None, None)?;
        self.local.handle.join();
        Ok(self.local.connect(target, Recipient::Handler(Box::new(handler))))
    }
}

/// What `addr` names.
pub(super) fn target(
    addr: &str,
    limit: Option<Duration>,
    from: Option<SocketAddr>,
) -> io::Result<Target> {
    let address = Endpoint::parse(addr)?.to_sock_addr()?;
    Ok(Target { name: addr.into(), address, from, limit })
}

/// An attempt on its way to its poller, which may end before it comes to it.
struct Order<H: EvHandler, F: FnOnce() -> H> {
    /// Where it goes. It is counted there.
    poller: PollerHandle,
    /// None once it has been begun, or taken back.
    work: Option<(Target, F)>,
}

impl<H: EvHandler, F: FnOnce() -> H> Order<H, F> {
    fn begin(mut self) {
        let work = self.work.take();
        let local = Local::current().filter(|local| local.handle.is_same(&self.poller));
        let (Some((target, factory)), Some(local)) = (work, local) else {
            return self.poller.leave();
        };
        match catch_unwind(AssertUnwindSafe(factory)) {
            Ok(handler) => {
                local.connect(target, Recipient::Handler(Box::new(handler)));
            }
            Err(panic) => {
                self.poller.leave();
                drop_quietly(panic);
            }
        }
    }
}

impl<H: EvHandler, F: FnOnce() -> H> Drop for Order<H, F> {
    /// The poller has ended without opening this piece of mail. The handler is told all the same.
    fn drop(&mut self) {
        let Some((target, factory)) = self.work.take() else { return };
        self.poller.leave();
        call_quietly(|| factory().on_connect_fail(failure(&target, gone())));
    }
}
