//! The runtime: tasks and timers of a poller, as quinn asks for them.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use corepoll::time::{self, Sleep};
use corepoll::{PollerBound, PollerHandle, spawn_local};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};

use crate::socket::QuicSocket;

/// quinn's runtime on a poller of corepoll.
///
/// [`server`](crate::server) and [`client`](crate::client) make endpoints with it. It is for
/// [`quinn::Endpoint::new`], where an endpoint has a socket or a configuration of its own.
///
/// Sockets belong to the poller that the runtime was made on. Tasks are spawned on the poller of the
/// calling thread, or on that of the runtime if the thread has none: a connection is driven by
/// the poller that it was accepted or opened on.
///
/// # Examples
///
/// ```
/// use corepoll_quinn::{CorepollRuntime, quinn};
/// use std::net::UdpSocket;
/// use std::sync::Arc;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     let mut config = quinn::EndpointConfig::default();
///     config.grease_quic_bit(false);
///     let runtime = Arc::new(CorepollRuntime::current()?);
///     let endpoint = quinn::Endpoint::new(config, None, socket, runtime)?;
///     assert_eq!(endpoint.open_connections(), 0);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct CorepollRuntime {
    /// The poller that the sockets are registered with.
    poller: PollerHandle,
    /// Tells whether this thread runs that poller.
    home: PollerBound<()>,
}

impl CorepollRuntime {
    /// Returns the runtime of the poller of this thread.
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll_quinn::CorepollRuntime;
    ///
    /// assert!(CorepollRuntime::current().is_err());
    /// corepoll::block_on(async { assert!(CorepollRuntime::current().is_ok()) });
    /// ```
    pub fn current() -> io::Result<CorepollRuntime> {
        let poller = PollerHandle::try_current()?;
        Ok(CorepollRuntime { poller, home: PollerBound::new(()) })
    }
}

impl Runtime for CorepollRuntime {
    fn new_timer(&self, deadline: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(time::sleep_until(deadline)))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if PollerHandle::try_current().is_ok() {
            drop(spawn_local(future));
        } else {
            drop(self.poller.spawn_on(|| future));
        }
    }

    /// Registers the socket with the poller of the runtime.
    ///
    /// # Errors
    ///
    /// Returns an error on any other thread, and the errors of setsockopt(2) and epoll_ctl(2).
    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        if !self.home.is_home() {
            let message =
                "CorepollRuntime: a socket was given to an endpoint outside of its poller";
            return Err(io::Error::other(message));
        }
        Ok(Arc::new(QuicSocket::new(socket)?))
    }

    fn now(&self) -> Instant {
        time::now()
    }
}

/// A timer of the poller that polls it.
#[derive(Debug)]
struct Timer(Sleep);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        Pin::new(&mut self.0).reset(deadline);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}
