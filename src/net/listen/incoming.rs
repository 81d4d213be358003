//! Accepting for tasks: what TCP and Unix listeners share.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use socket2::SockAddr;

use crate::base::error::errno;
use crate::local::fd_waiters::FdWaiter;
use crate::parts::readiness::Direction;
use crate::sys::socket;
use crate::time;

use crate::net::listen::accept_backoff::{AcceptBackoff, Retry, is_no_listener};
use crate::net::listen::error_reporter::ErrorCallback;
use crate::net::socket::Socket;
use crate::net::tcp::stream::TcpStream;

impl Socket {
    /// Waits for the next connection of a listening socket that `make` can make a stream of.
    ///
    /// An error of accept(2), or one of registering the stream, doesn't end the wait: accepting goes on
    /// as [`AcceptBackoff`] says, and `on_error` is told.
    pub(crate) async fn accept<S>(
        &self,
        on_error: &ErrorCallback,
        mut make: impl FnMut(OwnedFd, &SockAddr) -> io::Result<S>,
    ) -> io::Result<S> {
        let mut backoff = AcceptBackoff::default();
        loop {
            self.registered.local().allowance.proceed().await;
            let accepted = self.registered.try_io(Direction::Read, socket::accept);
            let error = match accepted.and_then(|(fd, peer)| make(fd, &peer)) {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            let retry = backoff.on_error(&error);
            if retry == Retry::WhenReadable {
                self.readable().await?;
                continue;
            }
            // Without a number it isn't the kernel's: as when the poller has ended.
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

    /// Waits until a descriptor of this poller has been closed, or for `pause`.
    async fn wait_for_descriptors(&self, pause: Duration) {
        let mut asked = false;
        let closed = poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            self.registered.local().wait_for_fd(FdWaiter::Task(cx.waker().clone()));
            Poll::Pending
        });
        // Whichever comes first; the timer's own wake-up ends the other future as well.
        let _ = time::timeout(pause, closed).await;
    }
}

type Accept<'a, S> = Pin<Box<dyn Future<Output = io::Result<S>> + 'a>>;

/// The connections of a listener: the stream of [`TcpListener::incoming`] and of
/// [`UnixListener::incoming`].
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
    /// Begins to accept.
    begin: Box<dyn Fn() -> Accept<'a, S> + 'a>,
    /// The accept that is under way.
    accept: Option<Accept<'a, S>>,
}

impl<'a, S> Incoming<'a, S> {
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
        self.accept = None;
        Poll::Ready(Some(accepted))
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
