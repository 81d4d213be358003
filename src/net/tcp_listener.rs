//! A listening socket, for tasks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::parts::readiness::Direction;
use crate::poller::local::{Local, Starved};
use crate::poller::source::Registered;
use crate::sys::socket;
use crate::time;

use super::accept::{Failure, LONGEST_PAUSE, SHORTEST_PAUSE, failure};
use super::addr::ToSocketAddrs;
use super::listen_options::ListenOptions;
use super::tcp_stream::TcpStream;

/// A socket that listens, for tasks of this thread's poller.
///
/// It accepts for its own poller, and only for that: to spread connections over the pollers of
/// a reactor use [`ReactorHandle::serve`](crate::ReactorHandle::serve) or
/// [`Acceptor`](crate::Acceptor). Several tasks may accept from one listener.
///
/// ```
/// use corepoll::net::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     assert_eq!(server.local_addr()?, client.peer_addr()?);
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    registered: Registered,
}

impl TcpListener {
    /// Listens at the first of the addresses where that works. Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// None works: the error names the last one. A host name needs the feature `blocking`.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_with(addr, ListenOptions::new()).await
    }

    /// [`TcpListener::bind`] with other options than the defaults.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn bind_with(
        addr: impl ToSocketAddrs,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        TcpListener::from_fd(options.listen(&addr)?.0, "TcpListener::bind")
    }

    fn from_fd(fd: OwnedFd, what: &str) -> io::Result<TcpListener> {
        let registered = Registered::new(fd, Local::expect_current(what)?)?;
        Ok(TcpListener { registered })
    }

    /// Takes a listener of std's over, blocking or not.
    ///
    /// # Errors
    /// There is no poller on this thread, or the kernel refuses the registration.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_fd(listener.into(), "TcpListener::from_std")?;
        listener.registered.lend();
        Ok(listener)
    }

    /// Waits for the next connection. A connection that has failed before it was accepted is left
    /// out; when descriptors or memory run out, it waits until some come free.
    ///
    /// Cancel-safe: a connection that was not given is still in the backlog.
    ///
    /// # Errors
    /// accept(2)'s others.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            std::future::poll_fn(crate::task::coop::poll_proceed).await;
            let accepted = self.registered.try_io(Direction::Read, socket::accept);
            match accepted {
                Ok((fd, peer)) => {
                    let stream = TcpStream::from_fd(fd, "accept")?;
                    return Ok((stream, socket::ip_address(peer)?));
                }
                Err(error) => match failure(&error) {
                    Failure::Nothing => self.registered.ready(Direction::Read).await?,
                    Failure::OfOne => {}
                    Failure::Exhausted => {
                        self.wait_for_descriptors(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Failure::OfListener => return Err(error),
                },
            }
        }
    }

    /// Waits until a descriptor of this poller has been closed, or for `pause`.
    async fn wait_for_descriptors(&self, pause: Duration) {
        let mut asked = false;
        let closed = std::future::poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            self.registered.local().on_next_close(Starved::Task(cx.waker().clone()));
            Poll::Pending
        });
        // Whichever comes first; the timer's own wake-up ends the other future as well.
        let _ = time::timeout(pause, closed).await;
    }

    /// The connections, as a stream that never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, accept: None }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.registered.fd())
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registered.lend()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("fd", &self.registered.fd()).finish_non_exhaustive()
    }
}

type Accept<'a> = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>> + 'a>>;

/// The connections of a listener: the stream of [`TcpListener::incoming`].
#[must_use = "a stream does nothing until it is polled"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    /// The accept that is under way.
    accept: Option<Accept<'a>>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listener = self.listener;
        let accept = self.accept.get_or_insert_with(|| Box::pin(listener.accept()));
        let accepted = ready!(accept.as_mut().poll(cx));
        self.accept = None;
        Poll::Ready(Some(accepted.map(|(stream, _)| stream)))
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("listener", self.listener).finish()
    }
}
