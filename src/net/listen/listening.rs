//! An address that is listened at.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::local::handle::PollerHandle;
use crate::local::state::Local;

use crate::net::listen::close_latch::{CloseLatch, LatchWaiter};
use crate::net::listen::error_reporter::{ErrorCallback, ErrorReporter};
use crate::net::listen::listener_handler::Deliver;
use crate::net::listen::listening_socket::{BoundSocket, ListeningSocket};

/// An address that is listened at. Dropping it keeps listening.
///
/// It listens until it is closed, or its reactor is shut down. No error of accept(2) ends it: such an
/// error is counted in [`PollerStats::accept_errors`](crate::PollerStats), told to
/// [`Listening::on_error`], and accepting goes on after a pause of 5 ms, which doubles up to 200 ms
/// until a connection comes. Should the listener end all the same, as when other code shuts its
/// socket down, [`Listening::closed`] tells why.
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
///     // No new connections from here on; and when this is over, the address is free.
///     listening.close();
///     listening.closed().await
/// })?
/// # }
/// ```
pub struct Listening {
    /// None for a Unix socket.
    address: Option<SocketAddr>,
    /// The listening sockets.
    sockets: Vec<Arc<ListeningSocket>>,
    /// Which of them have ended.
    latch: Arc<CloseLatch>,
    /// What hears of errors.
    errors: Arc<ErrorReporter>,
}

impl Listening {
    /// Gives sockets to their pollers, whose epoll instances watch them already.
    ///
    /// # Errors
    /// A poller has ended. Nothing is listened to then.
    pub(crate) fn begin<D: Deliver + Send>(
        address: Option<SocketAddr>,
        sockets: Vec<BoundSocket>,
        pollers: &[PollerHandle],
        errors: &Arc<ErrorReporter>,
        delivers: Vec<D>,
    ) -> io::Result<Listening> {
        let latch = Arc::new(CloseLatch::new(sockets.len()));
        let mut listening =
            Listening { address, sockets: Vec::new(), latch, errors: errors.clone() };
        for ((bound, deliver), poller) in sockets.into_iter().zip(delivers).zip(pollers) {
            let (latch, errors) = (listening.latch.clone(), errors.clone());
            let (socket, sent) = ListeningSocket::send(bound, poller, latch, errors, deliver);
            listening.sockets.push(socket);
            if let Err(error) = sent {
                listening.close();
                return Err(error);
            }
        }
        Ok(listening)
    }

    /// Where it listens.
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
    ///
    /// # Errors
    /// It listens at a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address.ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no IP address")
        })
    }

    /// Calls `hear` with each error from now on: of accepting, of giving a connection to its handler
    /// or task, of tasks of [`Acceptor::try_serve`], and with the one that ends the listener, if one
    /// does. What was set before is replaced. It is called on the pollers' threads, and should not
    /// block.
    ///
    /// An error that comes before this call is not told; [`Acceptor::on_error`] misses none.
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
    pub fn on_error(&self, hear: impl Fn(io::Error) + Send + Sync + 'static) {
        self.errors.set(ErrorCallback::new(hear));
    }

    /// Stops listening. Connections that were accepted go on; those that still wait to be accepted
    /// are reset by the kernel. May be called from any thread, and never blocks.
    ///
    /// On the thread of its poller the socket is closed when this returns, so that the address can
    /// be listened at anew; from one of its own factories or services, at the end of the turn. Where
    /// several pollers listen or another thread calls this, [`Listening::closed`] and
    /// [`Listening::close_and_wait`] tell when all is closed.
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let listening = running.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// listening.close();
    /// // It can be asked for still.
    /// assert!(listening.local_addr()?.ip().is_loopback());
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        self.sockets.iter().for_each(ListeningSocket::close);
    }

    /// Stops listening, as [`Listening::close`] does, and blocks the thread until the last socket is
    /// closed: then the address is free. It waits for pollers to hear of it, and so for callbacks
    /// that are running there.
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
    ///
    /// # Panics
    /// On a poller's thread, if not all sockets can be closed at once: a wait would stop that poller.
    /// Await [`Listening::closed`] there.
    pub fn close_and_wait(&self) {
        self.close();
        if self.latch.is_released() {
            return;
        }
        assert!(
            Local::current().is_none(),
            "close_and_wait was called inside a poller, which would stand still: other pollers \
             listen, too, or a callback of the listener itself is running. Call close and await \
             closed instead"
        );
        self.latch.wait();
    }

    /// Waits until nothing listens any more. It doesn't ask for that: see [`Listening::close`]. May be
    /// awaited on any thread, by several at a time, and any number of times.
    ///
    /// Cancel-safe: dropping it loses nothing.
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
    ///
    /// # Errors
    /// A socket ended without having been asked to: the first one's error. An end by
    /// [`Listening::close`], or with the reactor, is `Ok`.
    pub async fn closed(&self) -> io::Result<()> {
        let mut waiting = LatchWaiter::new(&self.latch);
        poll_fn(|cx| waiting.poll(cx)).await;
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
