//! The servers on a reactor with one poller.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{Acceptor, Action, Budget, Listening, Reactor, ReactorHandle};
use corepoll_hyper::{HyperIo, LocalExec, LocalTimer};
use corepoll_rustls::{Tls, TlsContext, TlsHandler};
use futures_rustls::TlsAcceptor;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;

use super::service::{answer, router};
use super::{Kind, tls};
use crate::args::Error;
use crate::peers::{Options, announce};
use crate::protocol::READ_BUFFER;
use crate::sys;

/// Serves in a process that is `slowed` that many times.
pub(super) fn run(kind: Kind, options: &Options, slowed: u32) -> Result<(), Error> {
    let mut budget = Budget::default();
    // A poller measures what its tasks take: it shall decide as it does where they take less.
    budget.slice *= slowed;
    let on = On { options, budget };
    match kind {
        Kind::H1 => on.serve(h1)?,
        Kind::H1Timer => on.serve(h1_with_timer)?,
        Kind::H1Served => {
            on.run(|reactor| corepoll_hyper::serve(reactor, options.addr, service_fn(answer)))?;
        }
        Kind::H2 => on.serve(h2)?,
        Kind::Axum => {
            let service = TowerToHyperService::new(router());
            on.serve(move |stream| {
                http1::Builder::new().serve_connection(HyperIo::new(stream), service.clone())
            })?;
        }
        Kind::Tls => {
            let acceptor = TlsAcceptor::from(tls::server()?);
            on.serve(move |stream| echo(acceptor.accept(stream)))?;
        }
        Kind::TlsHandler => {
            let factory = Tls::server(tls::server()?, || Echo);
            on.run(|reactor| Acceptor::new(options.addr).listen(reactor, factory))?;
        }
    }
    Ok(())
}

/// Where it is served.
struct On<'a> {
    options: &'a Options,
    budget: Budget,
}

impl On<'_> {
    /// Runs `task` for each connection.
    fn serve<T, F>(self, task: T) -> io::Result<()>
    where
        T: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future + 'static,
    {
        let addr = self.options.addr;
        self.run(|reactor| reactor.serve(addr, move |stream, _peer| task(stream)))
    }

    /// Runs a reactor that listens.
    fn run(self, listen: impl FnOnce(&ReactorHandle) -> io::Result<Listening>) -> io::Result<()> {
        let reactor = Reactor::builder().pollers(1).budget(self.budget).build()?;
        let listening = listen(&reactor.handle())?;
        announce(listening.local_addr()?)?;
        let running = reactor.start()?;
        sys::wait_readable(self.options.stop.as_fd(), None)?;
        running.handle().shutdown(Duration::ZERO);
        running.join()?;
        Ok(())
    }
}

async fn h1(stream: TcpStream) -> hyper::Result<()> {
    http1::Builder::new().serve_connection(HyperIo::new(stream), service_fn(answer)).await
}

async fn h1_with_timer(stream: TcpStream) -> hyper::Result<()> {
    let mut builder = http1::Builder::new();
    builder.timer(LocalTimer);
    builder.serve_connection(HyperIo::new(stream), service_fn(answer)).await
}

async fn h2(stream: TcpStream) -> hyper::Result<()> {
    let builder = http2::Builder::new(LocalExec);
    builder.serve_connection(HyperIo::new(stream), service_fn(answer)).await
}

async fn echo(accept: futures_rustls::Accept<TcpStream>) -> io::Result<()> {
    let mut stream = accept.await?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return stream.close().await;
        }
        stream.write_all(&buffer[..read]).await?;
        stream.flush().await?;
    }
}

/// The echo over TLS as a handler.
struct Echo;

impl TlsHandler for Echo {
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&data)?;
        Ok(Action::Keep)
    }
}
