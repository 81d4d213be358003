//! A connection goes to its poller, and gets a task there.
//!
//! As in `deliver_to_handler`, what travels is the descriptor. The stream is made where it will
//! live, and the service is called there: streams and futures are not `Send`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::local::context::EvContext;
use crate::local::state::Local;
use crate::net::tcp::stream::TcpStream;
use crate::reactor::ReactorHandle;
use crate::sys::accept;
use crate::sys::fd::OwnedFd;
use crate::sys::ip_address::IpAddress;
use crate::task;

use super::acceptor::Acceptor;
use super::balance::Balancer;
use super::bind;
use super::error_reporter::{ErrorReporter, panic_error};
use super::listener_handler::Deliver;
use super::listening::Listening;

/// Listens, and spawns a task of `service` for each connection.
///
/// # Errors
///
/// Returns the errors of [`Acceptor::listen`]; `InvalidInput` for a Unix socket.
pub(crate) fn listen<F, Fut>(
    acceptor: &Acceptor,
    on: &ReactorHandle,
    errors: &Arc<ErrorReporter>,
    service: F,
) -> io::Result<Listening>
where
    F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
    Fut: Future + 'static,
{
    if acceptor.place.is_unix()? {
        let message = format!("serving {}: a service is for TCP connections", acceptor.place);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let balancer = acceptor.balancer(on);
    let make = || {
        let (balancer, errors) = (balancer.clone(), errors.clone());
        DeliverToTask { balancer, spawner: Spawner { service: service.clone(), errors } }
    };
    bind::listen(acceptor, on, errors, make)
}

/// Delivers connections to tasks.
struct DeliverToTask<F> {
    /// Chooses the poller.
    balancer: Balancer,
    /// Spawns the task there.
    spawner: Spawner<F>,
}

/// The user's service, and what reports that it has failed.
#[derive(Clone)]
struct Spawner<F> {
    /// Makes the future of a connection. Each poller has a clone of its own.
    service: F,
    /// Reports panics of the service, and connections that can't be registered.
    errors: Arc<ErrorReporter>,
}

impl<F, Fut> Deliver for DeliverToTask<F>
where
    F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
    Fut: Future + 'static,
{
    /// The address that the service is called with.
    type Peer = IpAddress;

    fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, IpAddress)> {
        accept::accept_from(listener)
    }

    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: IpAddress) {
        let here = &cx.local.handle;
        let poller = self.balancer.choose(here);
        if poller.is_same(here) {
            return self.spawner.spawn(cx.local, fd, &peer);
        }
        // A clone of the user's service is foreign code: it may panic.
        let spawner = match catch_unwind(AssertUnwindSafe(|| self.spawner.clone())) {
            Ok(spawner) => spawner,
            Err(panic) => {
                poller.decrement_load();
                return self.spawner.report_panic(panic);
            }
        };
        // The message owns the connection: if the poller ends before it opens its mail, the
        // connection is closed with it.
        let sent = poller.run_on(move || {
            if let Some(local) = Local::current() {
                spawner.spawn(&local, fd, &peer);
            }
        });
        if sent.is_err() {
            self.spawner
                .errors
                .report("delivering a connection of", self.balancer.undelivered(poller));
        }
    }
}

impl<F, Fut> Spawner<F>
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future + 'static,
{
    /// Spawns the task of a connection. The balancer has counted it at this poller.
    fn spawn(&self, local: &Local, fd: OwnedFd, peer: &IpAddress) {
        let opened =
            TcpStream::from_fd(fd, "serve").and_then(|stream| Ok((stream, peer.to_std()?)));
        let (stream, peer) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                local.handle.decrement_load();
                return self.errors.report("registering a connection at", error);
            }
        };
        // From here on the stream carries the count, and takes it back when it is dropped.
        stream.registered().mark_counted();
        match catch_unwind(AssertUnwindSafe(|| (self.service)(stream, peer))) {
            // Dropping the handle detaches the task. A panic inside of it is caught by the
            // executor.
            Ok(future) => drop(task::spawn(future)),
            Err(panic) => self.report_panic(panic),
        }
    }
}

impl<F> Spawner<F> {
    /// Reports a panic of the user's service.
    fn report_panic(&self, panic: Box<dyn std::any::Any + Send>) {
        self.errors.report("calling the service of", panic_error(panic));
    }
}
