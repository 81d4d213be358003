//! A gateway: a reverse proxy that takes HTTPS (HTTP/2 and HTTP/1.1) and asks upstreams by HTTP/1.1.
//!
//! ```text
//! cargo run -p corepoll-hyper --features client --example gateway -- \
//!     --upstream 127.0.0.1:9000 --upstream 127.0.0.1:9001
//! curl -k https://127.0.0.1:8443/
//! curl http://127.0.0.1:9090/metrics
//! ```
//!
//! Each poller has a pool of connections for each upstream, and takes the upstream that it uses least.
//! No lock is needed, and a request never leaves its poller. One that could not be sent is sent to
//! another upstream; one that was sent is not repeated. Bodies are streamed both ways, at the pace of
//! the slower side. WebSockets, and other upgrades of HTTP/1.1, are passed through.

mod exchange;
mod forward;
mod headers;
mod metrics;
mod options;
mod upstreams;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use clap::Parser;
use corepoll::net::TcpStream;
use corepoll::{
    Deadlines, Listening, PollerBound, Reactor, ReactorHandle, shutdown_requested, time,
};
use corepoll::{signal::Signal, spawn_local, with_local};
use corepoll_hyper::{FuturesIo, Server, serve};
use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use futures_rustls::rustls::ServerConfig;
use hyper::service::service_fn;
use prometheus_client::registry::Registry;

use crate::exchange::write_log;
use crate::metrics::{Metrics, show_metrics};
use crate::options::Options;
use crate::upstreams::Local;

fn main() -> ExitCode {
    let Err(error) = run(Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("gateway: {error}");
    ExitCode::FAILURE
}

fn run(options: Options) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(&options)?));
    let (addr, admin) = (options.addr, options.admin);
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;
    let handle = reactor.handle();
    end_by_signals(handle.clone(), Duration::from_millis(options.grace))?;

    let (log, lines) = sync_channel(16 * 1024);
    let writer = thread::spawn(move || write_log(&lines));
    let mut registry = Registry::with_prefix("gateway");
    let metrics = Metrics::register(&mut registry, reactor.handle());
    // A client that has ended its side has gone: what it has asked for is given up.
    let header_size = options.header_size;
    let server = Server::new()
        .http1(|it| _ = it.half_close(false).max_header_size(header_size as usize))
        .http2(|it| _ = it.max_header_list_size(header_size));
    let gateway = Arc::new(Gateway { options, server, acceptor, log, metrics });

    prepare_pollers(&handle, gateway.options.upstream.len());
    let listening = handle.serve(addr, {
        let gateway = gateway.clone();
        move |stream, peer| connection(gateway.clone(), stream, peer)
    })?;
    let metrics = serve_metrics(&handle, admin, registry)?;
    println!("listening on {}", listening.local_addr()?);
    println!("metrics on http://{}/metrics", metrics.local_addr()?);
    reactor.run()?;
    drop(gateway); // the last sender of lines
    let _ = writer.join();
    Ok(())
}

/// Ends the reactor by SIGINT or SIGTERM: the first signal gives the requests `grace` to end, a second
/// one no time at all.
fn end_by_signals(stop: ReactorHandle, grace: Duration) -> io::Result<()> {
    let mut signals = Signal::new([libc::SIGINT, libc::SIGTERM])?;
    thread::spawn(move || {
        corepoll::block_on(async {
            for grace in [grace, Duration::ZERO] {
                let _ = signals.recv().await;
                stop.shutdown(grace);
            }
        });
    });
    Ok(())
}

/// Gives each poller its pools, one for each upstream.
fn prepare_pollers(handle: &ReactorHandle, upstreams: usize) {
    // A broadcast runs once on every poller, before that poller serves anything.
    handle.broadcast(move || {
        with_local(|local: &mut Local| local.upstreams.resize_with(upstreams, Default::default));
        // What is idle would hold up the shutdown.
        drop(spawn_local(async {
            shutdown_requested().await;
            with_local(|local: &mut Local| {
                local.is_ending = true;
                local.upstreams.iter_mut().for_each(|upstream| upstream.pool.clear());
            });
        }));
    });
}

/// Serves the metrics at an address of their own.
fn serve_metrics(on: &ReactorHandle, addr: SocketAddr, all: Registry) -> io::Result<Listening> {
    let registry = Arc::new(all);
    let service = service_fn(move |request| {
        let registry = registry.clone();
        async move { Ok::<_, Infallible>(show_metrics(&registry, &request)) }
    });
    serve(on, addr, service)
}

/// What all pollers share.
struct Gateway {
    options: Options,
    server: Server,
    acceptor: TlsAcceptor,
    log: SyncSender<String>,
    metrics: Metrics,
}

/// Serves a connection of a client.
async fn connection(gateway: Arc<Gateway>, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let most = gateway.options.connections.get();
    let counted = with_local(|local: &mut Local| local.connections.up_to(most));
    let Some(_counted) = counted else { return Ok(()) };
    stream.set_nodelay(true)?;
    let idle = Some(gateway.options.idle_timeout());
    stream.set_deadlines(Deadlines { idle, ..Deadlines::default() });
    let accepted = gateway.acceptor.accept(PollerBound::new(stream));
    let stream = time::timeout(Duration::from_secs(10), accepted).await??;
    let of_requests = gateway.clone();
    let service = service_fn(move |request| {
        let gateway = of_requests.clone();
        async move { Ok::<_, Infallible>(forward::answer(gateway, peer, request).await) }
    });
    gateway.server.serve_connection_with_upgrades(FuturesIo::new(stream), service).await
}

/// Reads the certificate and its key, or makes them.
fn tls_config(options: &Options) -> io::Result<ServerConfig> {
    let (chain, key) = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
            let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
            (chain.map_err(io::Error::other)?, key)
        }
        _ => {
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
            (vec![made.cert.into()], PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
        }
    };
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
