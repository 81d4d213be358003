//! Accepting in a task, for TCP and Unix listeners.
//!
//! The loop is that of `listener_handler`, with awaits in place of timers and of the interest: the
//! two share what an error means (`accept_backoff`), and not how to wait.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use socket2::SockAddr;

use crate::base::error::errno;
use crate::local::fd_waiters::FdWaiter;
use crate::net::socket::Socket;
use crate::net::tcp::stream::TcpStream;
use crate::parts::readiness::Direction;
use crate::sys::accept;
use crate::sys::fd::OwnedFd;
use crate::time;

use super::accept_backoff::{AcceptBackoff, Retry, is_no_listener};
use super::error_reporter::ErrorCallback;

impl Socket {
    /// Waits for a connection of a listening socket of which `make` can make a stream.
    ///
    /// An error of accept(2), or of registering the stream, doesn't end the wait: it is reported to
    /// `on_error`, and accepting goes on when [`AcceptBackoff`] says so.
    ///
    /// # Errors
    ///
    /// The socket does not listen, or its poller has ended.
    pub(crate) async fn accept<S>(
        &self,
        on_error: &ErrorCallback,
        mut make: impl FnMut(OwnedFd, &SockAddr) -> io::Result<S>,
    ) -> io::Result<S> {
        let mut backoff = AcceptBackoff::default();
        loop {
            // A backlog that is never empty would keep this task running for ever.
            self.registered.local().allowance.proceed().await;
            let accepted = self.registered.try_io(Direction::Read, accept::accept_from_any);
            let error = match accepted.and_then(|(fd, peer)| make(fd, &peer)) {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            // The backoff is new with each call, since a connection that was accepted ends a row of
            // errors.
            let retry = backoff.on_error(&error);
            if retry == Retry::WhenReadable {
                self.readable().await?;
                continue;
            }
            // An error without a number is not the kernel's: the poller has ended.
            if is_no_listener(&error) || errno(&error).is_none() {
                return Err(error);
            }
            on_error.call(error);
            match retry {
                Retry::WhenReadable | Retry::AtOnce => {}
                Retry::After(time) => time::sleep(time).await,
                Retry::AfterOrFdFreed(time) => self.wait_for_descriptors(time).await,
            }
        }
    }

    /// Waits until a descriptor of this poller is closed, for `pause` at most.
    async fn wait_for_descriptors(&self, pause: Duration) {
        let mut asked = false;
        let closed = poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            // A waiter that is not woken in time stays in the poller's list until the next
            // descriptor is closed, and is woken for nothing then.
            self.registered.local().wait_for_fd(FdWaiter::Task(cx.waker().clone()));
            Poll::Pending
        });
        // The inner future takes any second poll for a wake-up. The timer's ends it as well, and
        // that is what it should do.
        let _ = time::timeout(pause, closed).await;
    }
}

/// An accept that is under way.
type Accept<'a, S> = Pin<Box<dyn Future<Output = io::Result<S>> + 'a>>;

/// The stream of a listener's connections: see [`TcpListener::incoming`] and
/// [`UnixListener::incoming`]. It never ends.
///
/// # Examples
///
/// ```
/// # use corepoll::net::{Incoming, TcpListener, TcpStream};
/// # use futures::StreamExt;
/// # corepoll::block_on(async {
/// async fn first(mut incoming: Incoming<'_>) -> std::io::Result<TcpStream> {
///     incoming.next().await.expect("it never ends")
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let client = TcpStream::connect(listener.local_addr()?).await?;
/// assert_eq!(first(listener.incoming()).await?.peer_addr()?, client.local_addr()?);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// [`TcpListener::incoming`]: crate::net::TcpListener::incoming
/// [`UnixListener::incoming`]: crate::net::UnixListener::incoming
#[must_use = "a stream does nothing until it is polled"]
pub struct Incoming<'a, S = TcpStream> {
    /// Returns a new accept.
    begin: Box<dyn Fn() -> Accept<'a, S> + 'a>,
    /// The accept that is under way.
    accept: Option<Accept<'a, S>>,
}

impl<'a, S> Incoming<'a, S> {
    /// Returns the stream of what `accept` returns each time.
    pub(crate) fn new<F>(accept: impl Fn() -> F + 'a) -> Incoming<'a, S>
    where
        F: Future<Output = io::Result<S>> + 'a,
    {
        Incoming { begin: Box::new(move || Box::pin(accept())), accept: None }
    }
}

impl<S> Stream for Incoming<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Incoming { begin, accept } = &mut *self;
        let accepted = ready!(accept.get_or_insert_with(begin).as_mut().poll(cx));
        // The next accept is begun by the next poll, so that a stream that is not polled accepts
        // nothing.
        self.accept = None;
        Poll::Ready(Some(accepted))
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
