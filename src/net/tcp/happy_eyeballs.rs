//! One connection to one of several addresses, for tasks: RFC 8305. The connections of handlers are
//! made by the same rules, in `connection/connect`.
//!
//! A future that races futures: it polls all attempts by one waker, and each attempt has its own
//! registration, so that an event of one can't be taken for that of another. RFC 8305, section 5,
//! asks for a delay between attempts, 250 ms by default and at least 100 ms.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::parts::address_order::{ATTEMPT_DELAY, attempt_order};
use crate::sys::socket;
use crate::time::{Sleep, sleep};

use crate::net::addr::to_socket_addrs::with_address;
use crate::net::tcp::stream::TcpStream;

/// Connects to the first of `addresses` that answers. Returns `None` if none does. Each failure is
/// added to `failures`, also if the future is dropped before its end.
pub(crate) async fn connect_first(
    addresses: Vec<SocketAddr>,
    settings: &socket::Connect,
    failures: &mut Vec<io::Error>,
) -> Option<TcpStream> {
    if let [address] = addresses[..] {
        // The most common case by far. It needs no race, no timer and no allocation.
        let connected = connect_one(address, settings).await;
        return connected.map_err(|error| failures.push(failure(address, error))).ok();
    }
    let waiting = attempt_order(addresses, settings.from);
    let mut race = Race { waiting, running: Vec::new(), pause: None, settings, failures };
    poll_fn(|cx| race.poll(cx)).await
}

/// Connects to one address. Errors are the kernel's, without the address.
async fn connect_one(address: SocketAddr, settings: &socket::Connect) -> io::Result<TcpStream> {
    let stream = TcpStream::from_fd(socket::connect(&address.into(), settings)?, "connect")?;
    // connect(2) has only begun: the socket becomes writable when it has succeeded or failed, and
    // SO_ERROR tells which.
    // The guess that a new socket is writable would be wrong here.
    stream.registered().clear_readiness();
    stream.writable().await?;
    // EPOLLOUT comes with EPOLLERR if the attempt has failed, and the error is kept in the socket
    // (connect(2), EINPROGRESS).
    if let Some(error) = socket::take_error(stream.registered().fd())? {
        return Err(error);
    }
    // A port of this machine may be chosen as the local one, and then TCP connects it to itself.
    if socket::is_self_connected(stream.registered().fd()) {
        return Err(socket::self_connect_error());
    }
    Ok(stream)
}

/// Adds the address to the error of an attempt.
fn failure(address: SocketAddr, error: io::Error) -> io::Error {
    with_address("connecting to", address, error)
}

/// The attempts of one connection. Dropping them closes those that are under way.
struct Race<'a> {
    /// The addresses that have not been tried yet, in order.
    waiting: VecDeque<SocketAddr>,
    /// The attempts that are under way, in the order in which they began.
    running: Vec<Attempt<'a>>,
    /// Ends when the next attempt begins, whatever becomes of those before it.
    pause: Option<Pin<Box<Sleep>>>,
    /// The options of each socket.
    settings: &'a socket::Connect,
    /// Why attempts have failed.
    failures: &'a mut Vec<io::Error>,
}

/// An attempt to connect to one address.
struct Attempt<'a> {
    /// The address that is tried.
    address: SocketAddr,
    /// Makes the connection.
    connect: Pin<Box<dyn Future<Output = io::Result<TcpStream>> + 'a>>,
}

impl Race<'_> {
    /// Goes on with all attempts. Returns the connection, or `None` once every address has failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<TcpStream>> {
        loop {
            // In order: of two that succeed in one poll, the one that began first is preferred.
            let mut newest_is_running = false;
            let mut place = 0;
            while let Some(attempt) = self.running.get_mut(place) {
                newest_is_running = false;
                match attempt.connect.as_mut().poll(cx) {
                    // The race is dropped with the attempts that are still running, which closes
                    // their sockets.
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Some(stream)),
                    Poll::Ready(Err(error)) => {
                        // `place` stays: the next attempt has moved there.
                        let failed = self.running.remove(place);
                        self.failures.push(failure(failed.address, error));
                    }
                    Poll::Pending => {
                        newest_is_running = true;
                        place += 1;
                    }
                }
            }
            // Only the failure of the newest attempt starts the next one early (RFC 8305, 5): an
            // older one says nothing of the address that is being tried.
            let must_wait = newest_is_running && self.is_pausing(cx);
            let next = if must_wait { None } else { self.waiting.pop_front() };
            match next {
                // The loop polls the new attempt at once, so that its waker is registered.
                Some(address) => self.begin(address),
                None if self.running.is_empty() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }

    /// Returns whether the newest attempt still has time before the next one begins.
    fn is_pausing(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting.is_empty() {
            // There is no next one to begin.
            return true;
        }
        self.pause.as_mut().is_some_and(|pause| pause.as_mut().poll(cx).is_pending())
    }

    /// Begins to connect to `address`, and starts the pause before the next one.
    fn begin(&mut self, address: SocketAddr) {
        let connect = Box::pin(connect_one(address, self.settings));
        self.running.push(Attempt { address, connect });
        self.pause = (!self.waiting.is_empty()).then(|| Box::pin(sleep(ATTEMPT_DELAY)));
    }
}
