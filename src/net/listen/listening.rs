//! What the user has of an address that is listened at.
//!
//! It is a handle that any thread may hold. It reaches each socket through its `listening_socket`,
//! and learns of the end of all by the `close_latch`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;

use crate::local::handle::PollerHandle;
use crate::local::state::Local;

use super::close_latch::CloseLatch;
use super::error_reporter::{ErrorCallback, ErrorReporter};
use super::listener_handler::Deliver;
use super::listening_socket::{BoundSocket, ListeningSocket};
use super::register;

/// A handle to a listener, which [`Acceptor::listen`](crate::Acceptor::listen), `serve` and
/// `try_serve` return. Dropping it leaves the listener open.
///
/// It listens until it is closed, or its reactor is shut down. No error of accept(2) ends it: such
/// an error is counted in [`PollerStats::accept_errors`](crate::PollerStats) and reported to
/// [`Listening::on_error`], and accepting goes on after a pause. The pause is 5 ms at first, and
/// doubles up to 200 ms until a connection comes. If the listener ends nevertheless, as when other
/// code shuts its socket down, [`Listening::closed`] returns why.
///
/// # Examples
///
/// ```
/// use corepoll::{Reactor, net::TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
/// listening.on_error(|error| eprintln!("{error}"));
/// reactor.run_until(async {
///     let addr = listening.local_addr()?;
///     TcpStream::connect(addr).await?;
///     // No new connections from here on. At the end of the wait the address is free.
///     listening.close();
///     listening.closed().await
/// })?
/// # }
/// ```
pub struct Listening {
    /// Where it listens.
    address: LocalAddr,
    /// The listening sockets.
    sockets: Vec<Arc<ListeningSocket>>,
    /// Released when all of them are closed.
    latch: Arc<CloseLatch>,
    /// What has ended the listener, if it was an error.
    errors: Arc<ErrorReporter>,
}

/// Where an address is listened at, with the port that the kernel has chosen.
#[derive(Debug, Clone)]
pub(crate) enum LocalAddr {
    /// At an IP address.
    Ip(SocketAddr),
    /// At a Unix socket.
    Unix(UnixAddr),
}

impl Listening {
    /// Sends the sockets to their pollers, whose epoll instances watch them already.
    ///
    /// # Errors
    ///
    /// A poller has ended. Then all sockets are closed.
    pub(crate) fn begin<D: Deliver + Send>(
        address: LocalAddr,
        bound: Vec<BoundSocket>,
        pollers: &[PollerHandle],
        errors: &Arc<ErrorReporter>,
        delivers: Vec<D>,
    ) -> io::Result<Listening> {
        // The latch counts all sockets before the first one is sent: one may be closed while
        // another is on its way.
        let latch = Arc::new(CloseLatch::new(bound.len()));
        let sockets = bound.into_iter().zip(pollers).map(|(bound, poller)| {
            ListeningSocket::new(bound, poller.clone(), latch.clone(), errors.clone())
        });
        let sockets = sockets.collect();
        let listening = Listening { address, sockets, latch, errors: errors.clone() };
        for (socket, deliver) in listening.sockets.iter().zip(delivers) {
            if let Err(error) = register::send(socket, deliver) {
                // Those that were sent before listen already, or are still on their way.
                listening.close();
                return Err(error);
            }
        }
        Ok(listening)
    }

    /// Returns the IP address and the port that it listens at.
    ///
    /// # Errors
    ///
    /// Returns `Unsupported` if it listens at a Unix socket.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// println!("listening on {}", listening.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.address {
            LocalAddr::Ip(address) => Ok(*address),
            LocalAddr::Unix(_) => {
                let message = "a Unix socket has no IP address";
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
        }
    }

    /// Returns the address of the Unix socket that it listens at; `None` if it listens at an IP
    /// address.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
    /// use std::os::linux::net::SocketAddrExt;
    ///
    /// # struct Drain;
    /// # impl EvHandler for Drain {
    /// #     fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
    /// #         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    /// #     }
    /// # }
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let name = format!("corepoll-doc-unix-addr-{}", std::process::id());
    /// let acceptor = Acceptor::new(format!("unix:@{name}"));
    /// let listening = acceptor.listen(&reactor.handle(), || Drain)?;
    /// let addr = listening.unix_addr().unwrap();
    /// assert_eq!(addr.as_abstract_name(), Some(name.as_bytes()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn unix_addr(&self) -> Option<&UnixAddr> {
        match &self.address {
            LocalAddr::Ip(_) => None,
            LocalAddr::Unix(address) => Some(address),
        }
    }

    /// Returns `true` if nothing listens any more: all sockets are closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// assert!(!listening.is_closed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_closed(&self) -> bool {
        self.latch.is_released()
    }

    /// Calls `callback` with each error from now on, in place of the callback before. Errors are
    /// those of accepting, of delivering a connection to its handler or task, of the tasks of
    /// [`Acceptor::try_serve`], and the one that ends the listener, if one does. The callback runs
    /// on the pollers' threads and should not block.
    ///
    /// It misses errors that came before this call; [`Acceptor::on_error`] misses none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// listening.on_error(|error| eprintln!("{error}"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Acceptor::on_error`]: crate::Acceptor::on_error
    /// [`Acceptor::try_serve`]: crate::Acceptor::try_serve
    pub fn on_error(&self, callback: impl Fn(io::Error) + Send + Sync + 'static) {
        self.errors.set(ErrorCallback::new(callback));
    }

    /// Stops listening. Connections that were accepted go on; the kernel resets those that still
    /// wait to be accepted. May be called from any thread, and never blocks.
    ///
    /// On the thread of its poller the socket is closed when this returns, so that the address can
    /// be used again. Called in a factory or service of the listener itself, it is closed at the
    /// end of the turn. If several pollers listen, or another thread calls this,
    /// [`Listening::closed`] and [`Listening::close_and_wait`] wait until all sockets are closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let listening = running.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// listening.close();
    /// // The address is still known.
    /// assert!(listening.local_addr()?.ip().is_loopback());
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        self.sockets.iter().for_each(ListeningSocket::close);
    }

    /// Stops listening, as [`Listening::close`] does, and blocks the thread until the last socket
    /// is closed and the address is free. It waits until the pollers open their mail, and so for
    /// the callbacks that are running there.
    ///
    /// # Panics
    ///
    /// Panics on a poller's thread, unless all sockets can be closed at once: waiting would stop that
    /// poller. Await [`Listening::closed`] there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// let listening = running.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// listening.close_and_wait();
    /// // Nothing else listens there.
    /// let again = std::net::TcpListener::bind(listening.local_addr()?)?;
    /// # drop(again);
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_and_wait(&self) {
        self.close();
        if self.latch.is_released() {
            return;
        }
        assert!(
            Local::current().is_none(),
            "Listening::close_and_wait would block the poller that it was called on: other pollers \
             listen as well, or a callback of the listener itself is running. Call close and await \
             closed instead"
        );
        // No poller runs on this thread, so that none is kept from its turn.
        self.latch.wait();
    }

    /// Waits until all sockets are closed. This doesn't close them: see [`Listening::close`]. May
    /// be awaited on any thread, by several tasks at a time, and any number of times.
    ///
    /// # Errors
    ///
    /// Returns the error that ended the first socket to end by itself. An end by
    /// [`Listening::close`], or with the reactor, is `Ok`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Reactor, block_on};
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// let listening = running.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// listening.close();
    /// block_on(listening.closed())?;
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn closed(&self) -> io::Result<()> {
        self.latch.released().await;
        match self.latch.failure() {
            Some(error) => Err(self.errors.describe("listening on", error)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("address", &self.address)
            .field("sockets", &self.sockets.len())
            .field("is_closed", &self.latch.is_released())
            .finish_non_exhaustive()
    }
}
