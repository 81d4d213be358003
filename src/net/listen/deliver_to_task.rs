//! A task for each connection.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use socket2::SockAddr;

use crate::local::context::EvContext;
use crate::local::state::Local;
use crate::reactor::ReactorHandle;
use crate::task;

use crate::net::addr::Address;
use crate::net::addr::stream_addr::StreamAddr;
use crate::net::listen::acceptor::Acceptor;
use crate::net::listen::balance::Balancer;
use crate::net::listen::error_reporter::{ErrorReporter, panic_error};
use crate::net::listen::listener_handler::Deliver;
use crate::net::listen::listening::Listening;
use crate::net::tcp::stream::TcpStream;

impl Acceptor {
    /// Listens, and spawns a task of `service` for each connection.
    pub(crate) fn spawn_each<F, Fut>(
        &self,
        on: &ReactorHandle,
        errors: &Arc<ErrorReporter>,
        service: F,
    ) -> io::Result<Listening>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        if let StreamAddr::Unix(_) = StreamAddr::parse(&self.address)? {
            let message = format!("serving {}: a service is for TCP connections", self.address);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let balancer = self.balancer(on);
        let make = || {
            let (balancer, errors) = (balancer.clone(), errors.clone());
            DeliverToTask { balancer, server: Server { service: service.clone(), errors } }
        };
        self.listen_with(on, errors, make)
    }
}

/// Gives a connection a task.
struct DeliverToTask<F> {
    balancer: Balancer,
    server: Server<F>,
}

/// What makes tasks, and what hears of those that couldn't be made.
#[derive(Clone)]
struct Server<F> {
    service: F,
    errors: Arc<ErrorReporter>,
}

impl<F, Fut> Deliver for DeliverToTask<F>
where
    F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
    Fut: Future + 'static,
{
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: SockAddr) {
        let here = &cx.local.handle;
        let poller = self.balancer.choose(here);
        if poller.is_same(here) {
            return self.server.begin(cx.local, fd, &peer);
        }
        let server = match catch_unwind(AssertUnwindSafe(|| self.server.clone())) {
            Ok(server) => server,
            Err(panic) => {
                poller.leave();
                return self.server.tell_panic(panic);
            }
        };
        let begun = poller.run_on(move || {
            if let Some(local) = Local::current() {
                server.begin(&local, fd, &peer);
            }
        });
        if begun.is_err() {
            self.server
                .errors
                .report("delivering a connection of", self.balancer.undelivered(&poller));
        }
    }
}

impl<F, Fut> Server<F>
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future + 'static,
{
    /// Spawns the task of a connection, which is counted already.
    fn begin(&self, local: &Local, fd: OwnedFd, peer: &SockAddr) {
        let opened = TcpStream::from_fd(fd, "serve")
            .and_then(|stream| Ok((stream, SocketAddr::from_kernel(peer)?)));
        let (stream, peer) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                local.handle.leave();
                return self.errors.report("registering a connection at", error);
            }
        };
        stream.registered().count();
        match catch_unwind(AssertUnwindSafe(|| (self.service)(stream, peer))) {
            Ok(future) => drop(task::spawn(future)),
            Err(panic) => self.tell_panic(panic),
        }
    }
}

impl<F> Server<F> {
    fn tell_panic(&self, panic: Box<dyn std::any::Any + Send>) {
        self.errors.report("calling the service of", panic_error(panic));
    }
}
