//! Services: a task for each connection, on every poller.
//!
//! `serve` is what most servers need, and it is made of the parts in this folder: an acceptor with
//! the default balance, one listener a poller, and a task a connection.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use crate::base::error::all_of;
use crate::net::addr::to_socket_addrs::{ToSocketAddrs, no_address, sealed::Sealed};
use crate::net::tcp::stream::TcpStream;
use crate::poller::assert_outside;
use crate::reactor::{Reactor, ReactorHandle};
use crate::sys::socket;

use super::acceptor::Acceptor;
use super::deliver_to_task;
use super::listening::Listening;
use super::reported::Reported;

impl Acceptor {
    /// Listens from now on, and spawns `service(stream, peer)` as a task for each connection, on
    /// the poller that the connection goes to. The output of the task is dropped:
    /// [`Acceptor::try_serve`] is for a service that can fail. May be called from any thread, and
    /// before the reactor is started.
    ///
    /// `service` is cloned: for each poller that listens, and for a connection that goes to another
    /// poller. What all clones share belongs in an [`Arc`](std::sync::Arc).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Acceptor::listen`], and `InvalidInput` for a Unix socket, whose
    /// connections are no `TcpStream`s: accept those from a
    /// [`UnixListener`](crate::net::UnixListener).
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Acceptor, Reactor};
    /// use futures::AsyncWriteExt;
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let acceptor = Acceptor::new("127.0.0.1:0").backlog(16).nodelay(true);
    /// let listening = acceptor.serve(&running.handle(), |mut stream, _peer| async move {
    ///     let _ = stream.write_all(b"hello").await;
    /// })?;
    /// let mut greeting = String::new();
    /// std::net::TcpStream::connect(listening.local_addr()?)?.read_to_string(&mut greeting)?;
    /// assert_eq!(greeting, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<F, Fut>(self, on: &ReactorHandle, service: F) -> io::Result<Listening>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        let errors = self.error_reporter();
        deliver_to_task::listen(&self, on, &errors, service)
    }

    /// Serves as [`Acceptor::serve`] does, with a service that can fail: each error that a task
    /// returns goes to the callback of [`Acceptor::on_error`] or [`Listening::on_error`]. The error
    /// there names the peer, has the service's error as its `source()`, and is of the same kind if
    /// that is an [`io::Error`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Acceptor::serve`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Acceptor, Reactor};
    /// use std::{io, sync::mpsc};
    ///
    /// # fn main() -> io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let (sender, errors) = mpsc::channel();
    /// let listening = Acceptor::new("127.0.0.1:0")
    ///     .on_error(move |error| sender.send(error).unwrap())
    ///     .try_serve(&running.handle(), |stream, _peer| async move {
    ///         match &*stream.read_chunk().await? {
    ///             b"hello" => Ok(()),
    ///             _ => Err(io::Error::other("what an odd greeting")),
    ///         }
    ///     })?;
    /// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
    /// io::Write::write_all(&mut client, b"hm")?;
    /// let error = errors.recv().unwrap();
    /// let expected = format!("serving {}: what an odd greeting", client.local_addr()?);
    /// assert_eq!(error.to_string(), expected);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_serve<F, Fut, T, E>(self, on: &ReactorHandle, service: F) -> io::Result<Listening>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let errors = self.error_reporter();
        let reporter = errors.clone();
        deliver_to_task::listen(&self, on, &errors, move |stream, peer| {
            // The service is called outside of the future, where its panic is reported as one of
            // `serve` is.
            Reported { serving: service(stream, peer), errors: reporter.clone(), peer }
        })
    }
}

impl ReactorHandle {
    /// Listens at `addr` on every poller, and spawns `service(stream, peer)` as a task for each
    /// connection. The output of the task is dropped: [`ReactorHandle::try_serve`] is for a service
    /// that can fail. Of several addresses, the first that can be listened at is used.
    ///
    /// Each poller has a listener with `SO_REUSEPORT` (socket(7)), and a connection stays where the
    /// kernel brings it, unless another poller has fewer: [`Balance::LeastLoaded`].
    /// [`Acceptor::serve`] has options for that, and a [`TcpListener`](crate::net::TcpListener)
    /// leaves everything to its user. `service` is cloned as by [`Acceptor::serve`]. May be called
    /// from any thread, and before the reactor is started.
    ///
    /// [`Balance::LeastLoaded`]: crate::Balance::LeastLoaded
    ///
    /// # Errors
    ///
    /// Returns an error if none of the addresses can be listened at, or if the reactor has ended
    /// (`NotConnected`).
    ///
    /// # Examples
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
    pub fn serve<F, Fut>(&self, addr: impl ToSocketAddrs, service: F) -> io::Result<Listening>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        self.listen_at_first(addr, |acceptor| acceptor.serve(self, service.clone()))
    }

    /// Serves as [`ReactorHandle::serve`] does, with a service that can fail: each error that a
    /// task returns goes to the callback of [`Listening::on_error`], as [`Acceptor::try_serve`]
    /// says.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ReactorHandle::serve`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = reactor.handle().try_serve("127.0.0.1:0", |stream, _peer| async move {
    ///     let (reader, mut writer) = (&stream, &stream);
    ///     futures::io::copy(reader, &mut writer).await
    /// })?;
    /// listening.on_error(|error| eprintln!("{error}"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_serve<F, Fut, T, E>(
        &self,
        addr: impl ToSocketAddrs,
        service: F,
    ) -> io::Result<Listening>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.listen_at_first(addr, |acceptor| acceptor.try_serve(self, service.clone()))
    }

    /// Calls `listen` with an acceptor for each address, until one can be listened at.
    fn listen_at_first(
        &self,
        addr: impl ToSocketAddrs,
        listen: impl Fn(Acceptor) -> io::Result<Listening>,
    ) -> io::Result<Listening> {
        // Each address has a clone of the service: the first one that fails has used up its own.
        let mut failures = Vec::new();
        for address in Sealed::addresses(&addr)?.known()? {
            // Where the kernel has no SO_REUSEPORT, the first poller accepts for all.
            let can_share = socket::can_share(&address.into());
            match listen(Acceptor::new(address).reuse_port(can_share)) {
                Ok(listening) => return Ok(listening),
                Err(error) => failures.push(error),
            }
        }
        Err(all_of(failures).unwrap_or_else(no_address))
    }
}

impl Reactor {
    /// Serves on every poller until the reactor is shut down: see [`ReactorHandle::serve`] and
    /// [`Reactor::run`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ReactorHandle::serve`] and [`Reactor::run`].
    ///
    /// # Panics
    ///
    /// Panics inside a poller, whose thread this would block.
    ///
    /// # Examples
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
    #[track_caller]
    pub fn serve<F, Fut>(self, addr: impl ToSocketAddrs, service: F) -> io::Result<()>
    where
        F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
    {
        let instead = "Use ReactorHandle::serve and Reactor::start instead";
        assert_outside("Reactor::serve", instead);
        self.handle().serve(addr, service)?;
        self.run()
    }
}
