//! One async service on every poller.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use socket2::SockAddr;

use crate::poller::context::EvContext;
use crate::poller::local::Local;
use crate::reactor::{Reactor, ReactorHandle};
use crate::task::{self, drop_quietly};

use super::accept::Deliver;
use super::acceptor::Acceptor;
use super::addr::{ToSocketAddrs, sealed::Sealed};
use super::listening::Listening;
use super::spread::{Balance, Spread};
use super::tcp_stream::TcpStream;

impl ReactorHandle {
    /// Listens at `addr` on every poller, and spawns `service(stream, peer)` as a task for each
    /// connection. What the task gives back is dropped.
    ///
    /// Each poller has a listener with SO_REUSEPORT, and a connection stays where the kernel
    /// brings it, unless another poller holds fewer: [`Balance::LeastLoaded`]. For other ways
    /// there is [`Acceptor`], and [`TcpListener`](crate::net::TcpListener). May be called from any
    /// thread, and before the reactor is started.
    ///
    /// ```
    /// use corepoll::Reactor;
    /// use futures::AsyncWriteExt;
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(2).build()?.start()?;
    /// let listening = running.handle().serve("127.0.0.1:0", |mut stream, peer| async move {
    ///     stream.write_all(format!("hello {peer}").as_bytes()).await
    /// })?;
    /// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
    /// let mut greeting = String::new();
    /// client.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, format!("hello {}", client.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// None of the addresses can be listened at, or the reactor has ended.
    pub fn serve<F, Fut>(&self, addr: impl ToSocketAddrs, service: F) -> io::Result<Listening>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        let mut failure = None;
        for address in Sealed::addresses(&addr)?.known()? {
            let spread = Spread::new(self.clone(), Balance::LeastLoaded);
            let acceptor = Acceptor::new(&address.to_string()).reuse_port(true);
            let listening = acceptor
                .listen_with(self, || ToTask { spread: spread.clone(), service: service.clone() });
            match listening {
                Ok(listening) => return Ok(listening),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::ErrorKind::InvalidInput.into()))
    }
}

impl Reactor {
    /// One async service on every poller, until the reactor is shut down: see
    /// [`ReactorHandle::serve`] and [`Reactor::run`].
    ///
    /// ```
    /// use corepoll::Reactor;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::new()?;
    /// # reactor.handle().shutdown(std::time::Duration::ZERO);
    /// reactor.serve("127.0.0.1:0", |stream, _peer| async move {
    ///     let (reader, mut writer) = (&stream, &stream);
    ///     futures::io::copy(reader, &mut writer).await
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Theirs.
    pub fn serve<F, Fut>(self, addr: impl ToSocketAddrs, service: F) -> io::Result<()>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        self.handle().serve(addr, service)?;
        self.run()
    }
}

/// Gives a connection a task.
struct ToTask<F> {
    spread: Spread,
    service: F,
}

impl<F, Fut> Deliver for ToTask<F>
where
    F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
    Fut: Future + 'static,
{
    fn deliver(&self, cx: &mut EvContext<'_>, fd: OwnedFd, peer: SockAddr) {
        let here = &cx.local.handle;
        let poller = self.spread.choose(here);
        if poller.is_same(here) {
            return begin(cx.local, fd, &peer, &self.service);
        }
        let service = match catch_unwind(AssertUnwindSafe(|| self.service.clone())) {
            Ok(service) => service,
            Err(panic) => {
                drop_quietly(panic);
                return poller.leave();
            }
        };
        let begun = poller.run_on(move || {
            if let Some(local) = Local::current() {
                begin(&local, fd, &peer, &service);
            }
        });
        if begun.is_err() {
            poller.leave();
        }
    }
}

/// Spawns the task of a connection, which is counted already.
fn begin<F, Fut>(local: &Local, fd: OwnedFd, peer: &SockAddr, service: &F)
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future + 'static,
{
    let (Ok(stream), Some(peer)) = (TcpStream::from_fd(fd, "serve"), peer.as_socket()) else {
        return local.handle.leave();
    };
    stream.registered().count();
    match catch_unwind(AssertUnwindSafe(|| service(stream, peer))) {
        Ok(future) => drop(task::spawn(future)),
        Err(panic) => drop_quietly(panic),
    }
}
