//! Listening, with a handler for each connection.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockAddr;

use crate::base::interest::Interest;
use crate::poller::connection::bits;
use crate::poller::context::EvContext;
use crate::poller::handler::EvHandler;
use crate::poller::local::Local;
use crate::reactor::ReactorHandle;
use crate::sys::socket_file::{self, SocketFile};
use crate::sys::{socket, steering};
use crate::task::drop_quietly;

use super::accept::{Deliver, Listener};
use super::addr::with_address;
use super::endpoint::Endpoint;
use super::listen_options::BACKLOG;
use super::listening::Listening;
use super::spread::{Balance, Spread};

/// Listens, and gives each connection a handler.
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
    address: String,
    listen: socket::Listen,
    /// A connection goes to the listener of the processor that it came in on.
    steer_by_cpu: bool,
    balance: Balance,
    /// None: the reactor that listens.
    target: Option<ReactorHandle>,
}

impl Acceptor {
    /// Will listen at `addr`: `"0.0.0.0:80"`, `"[::]:80"`, `":80"` (every address of this
    /// machine, IPv4 and IPv6), `"unix:/path"`, `"unix:@abstract"`. Port 0 lets the kernel choose.
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

    /// Gives the connections to the pollers of another reactor. Default: the one that listens.
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

    /// Listens from now on; each connection gets the handler that `factory` makes on the poller
    /// that it goes to, registered for [`Interest::READABLE`]. A panic in `factory` costs that
    /// connection. May be called from any thread, and before the reactor is started.
    ///
    /// ```
    /// # use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// struct Drain;
    ///
    /// impl EvHandler for Drain {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
    ///         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    ///     }
    /// }
    ///
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Drain)?;
    /// std::net::TcpStream::connect(listening.local_addr()?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The address is malformed or cannot be listened at, [`Acceptor::steer_by_cpu`] has nothing to
    /// choose from, or the reactor has ended.
    pub fn listen<H: EvHandler>(
        self,
        on: &ReactorHandle,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> io::Result<Listening> {
        let target = self.target.clone().unwrap_or_else(|| on.clone());
        let spread = Spread::new(target, self.balance);
        let factory = Arc::new(factory);
        self.listen_with(on, move || ToHandler { spread: spread.clone(), factory: factory.clone() })
    }

    /// Listens on the pollers that should, each with a `Deliver` that `make` makes.
    pub(super) fn listen_with<D: Deliver + Send>(
        self,
        on: &ReactorHandle,
        make: impl Fn() -> D,
    ) -> io::Result<Listening> {
        let mut endpoint = Endpoint::parse(&self.address)?;
        let count = match (&endpoint, self.listen.reuse_port) {
            (Endpoint::Ip(_), true) => on.pollers().len(),
            _ => 1,
        };
        if self.steer_by_cpu && !self.listen.reuse_port {
            let message = "steer_by_cpu chooses among the listeners that reuse_port(true) makes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let (fd, file, bound) = self.bind(&endpoint)?;
            // The others listen at the port that the kernel chose for the first.
            endpoint = bound;
            sockets.push((fd, file));
        }
        if self.steer_by_cpu && count > 1 {
            // The sockets are numbered in the order in which they began to listen.
            steering::by_cpu(sockets[0].0.as_fd(), count).map_err(|error| self.describe(error))?;
        }
        let address = match endpoint {
            Endpoint::Ip(address) => Some(address),
            Endpoint::Unix(_) => None,
        };
        let mut listening = Listening::new(address);
        for (poller, (fd, file)) in on.pollers().iter().zip(sockets) {
            listening.add(poller, fd, Listener::new(make(), file))?;
        }
        Ok(listening)
    }

    /// A socket that listens, the file that it has made, and where it listens.
    fn bind(&self, endpoint: &Endpoint) -> io::Result<(OwnedFd, Option<SocketFile>, Endpoint)> {
        if let Some(path) = endpoint.path() {
            let listened = socket_file::listen(path, &endpoint.to_sock_addr()?, &self.listen);
            let (fd, file) = listened.map_err(|error| self.describe(error))?;
            return Ok((fd, Some(file), endpoint.clone()));
        }
        let mut endpoint = endpoint.clone();
        let mut listened = socket::listen(&endpoint.to_sock_addr()?, &self.listen);
        if let (Endpoint::Ip(address), Err(_)) = (&endpoint, &listened)
            && self.address.starts_with(':')
        {
            // A machine without IPv6.
            endpoint = Endpoint::Ip((Ipv4Addr::UNSPECIFIED, address.port()).into());
            listened = socket::listen(&endpoint.to_sock_addr()?, &self.listen);
        }
        let fd = listened.map_err(|error| self.describe(error))?;
        if let Endpoint::Ip(address) = &mut endpoint {
            *address = socket::local_addr(fd.as_fd())?;
        }
        Ok((fd, None, endpoint))
    }

    fn describe(&self, error: io::Error) -> io::Error {
        with_address("listening on", &self.address, error)
    }
}

/// Gives a connection a handler.
struct ToHandler<F> {
    spread: Spread,
    factory: Arc<F>,
}

impl<H: EvHandler, F: Fn() -> H + Send + Sync + 'static> Deliver for ToHandler<F> {
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, _: SockAddr) {
        let here = &cx.local.handle;
        let poller = self.spread.choose(here);
        let factory = self.factory.clone();
        if poller.is_same(here) {
            return open(cx.local, fd, &*factory);
        }
        let opened = poller.run_on(move || {
            if let Some(local) = Local::current() {
                open(&local, fd, &*factory);
            }
        });
        if opened.is_err() {
            poller.leave();
        }
    }
}

/// Registers a connection, which is counted already, with a handler from `factory`.
fn open<H: EvHandler>(local: &Local, fd: OwnedFd, factory: &impl Fn() -> H) {
    let handler = match catch_unwind(AssertUnwindSafe(factory)) {
        Ok(handler) => handler,
        Err(panic) => {
            drop_quietly(panic);
            return local.handle.leave();
        }
    };
    let facts = bits::SOCKET | bits::COUNTED;
    if let Err((_, handler)) =
        local.add_connection(fd, Interest::READABLE, Box::new(handler), facts)
    {
        local.handle.leave();
        drop_quietly(handler);
    }
}
