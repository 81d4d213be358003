//! The servers on tokio's current-thread runtime, by the adapters of hyper-util and tokio-rustls.

use std::io;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use super::service::{answer, router};
use super::{Kind, tls};
use crate::args::Error;
use crate::peers::{Options, tokio::run_tasks};
use crate::protocol::READ_BUFFER;

pub(super) fn run(kind: Kind, options: &Options) -> Result<(), Error> {
    // Without timers the runtime has no clock to look at.
    let io = Builder::enable_io;
    match kind {
        Kind::H1 => run_tasks(options, io, h1)?,
        Kind::H1Timer => run_tasks(options, Builder::enable_all, h1_with_timer)?,
        Kind::H1Served => run_tasks(options, Builder::enable_all, h1_with_limits)?,
        Kind::H2 => run_tasks(options, io, h2)?,
        Kind::Axum => {
            let service = TowerToHyperService::new(router());
            run_tasks(options, io, move |stream| {
                http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone())
            })?;
        }
        Kind::Tls | Kind::TlsHandler => {
            let acceptor = TlsAcceptor::from(tls::server()?);
            run_tasks(options, io, move |stream| echo(acceptor.accept(stream)))?;
        }
    }
    Ok(())
}

async fn h1(stream: TcpStream) -> hyper::Result<()> {
    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

async fn h1_with_timer(stream: TcpStream) -> hyper::Result<()> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

async fn h1_with_limits(stream: TcpStream) -> hyper::Result<()> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).half_close(true).max_buf_size(64 * 1024);
    builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

async fn h2(stream: TcpStream) -> hyper::Result<()> {
    let builder = http2::Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

async fn echo(accept: tokio_rustls::Accept<TcpStream>) -> io::Result<()> {
    let mut stream = accept.await?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..read]).await?;
        stream.flush().await?;
    }
}
