//! An HTTPS server: HTTP/2 where the client offers it (ALPN), else HTTP/1.1.
//!
//! ```text
//! cargo run -p corepoll-hyper --example https
//! curl -k https://127.0.0.1:8443/                                          # HTTP/2
//! curl -k --http1.1 https://127.0.0.1:8443/
//! cargo run -p corepoll-hyper --example https -- --cert chain.pem --key key.pem
//! ```
//!
//! TLS is left to rustls. Without `--cert` the certificate is made at the start, and no client knows
//! whose it is: `--write-cert` says where to write it for those that shall trust it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, available_parallelism};
use std::time::Duration;
use std::{fs, io};

use clap::Parser;
use corepoll::net::TcpStream;
use corepoll::{Deadlines, Reactor, signal::Signal, time};
use corepoll_hyper::{FuturesIo, Server};
use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{ServerConfig, server::ServerSessionMemoryCache};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, service::service_fn};

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse()) else { return ExitCode::SUCCESS };
    eprintln!("https: {error}");
    ExitCode::FAILURE
}

fn run(options: &Options) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(options)?));
    let patience = Duration::from_millis(options.patience.get());
    let server = Arc::new(Server::new().header_timeout(patience));
    let reactor = Reactor::builder().pollers(options.pollers.get()).build()?;

    // The first signal gives the requests five seconds to end, a second one no time at all.
    let (handle, mut signals) = (reactor.handle(), Signal::new([libc::SIGINT, libc::SIGTERM])?);
    thread::spawn(move || {
        corepoll::block_on(async {
            for grace in [Duration::from_secs(5), Duration::ZERO] {
                let _ = signals.recv().await;
                handle.shutdown(grace);
            }
        });
    });

    // An error, such as that of a client that does not trust us, ends its connection alone.
    let listening = reactor.handle().serve(options.addr, move |stream, peer| {
        serve(server.clone(), acceptor.clone(), stream, peer, patience)
    })?;
    println!("listening on {}", listening.local_addr()?);
    reactor.run()
}

/// Serves one connection.
async fn serve(
    server: Arc<Server>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    patience: Duration,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // For a client that reads nothing, and for one that has vanished.
    stream.set_deadlines(Deadlines { idle: Some(patience), ..Deadlines::default() });
    let stream = time::timeout(patience, acceptor.accept(stream)).await??;
    let service = service_fn(move |request| answer(peer, request));
    server.serve_connection(FuturesIo::new(stream), service).await
}

/// Answers one request.
async fn answer(
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (version, path) = (request.version(), request.uri().path());
    Ok(Response::new(format!("Hello, {peer}! You ask for {path} by {version:?}.\n").into()))
}

/// Reads the certificate and its key, or makes them.
fn tls_config(options: &Options) -> io::Result<ServerConfig> {
    let (chain, key) = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => {
            let named =
                |path: &PathBuf, error| io::Error::other(format!("{}: {error}", path.display()));
            let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
            let chain: Vec<_> = chain.map_err(|error| named(cert, error))?;
            (chain, PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, error))?)
        }
        _ => {
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
            if let Some(path) = &options.write_cert {
                fs::write(path, made.cert.pem())?;
            }
            (vec![made.cert.into()], PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
        }
    };
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A client that comes back makes the short handshake.
    config.session_storage = ServerSessionMemoryCache::new(10_000);
    Ok(config)
}

/// An HTTPS server, with HTTP/2 and HTTP/1.1
#[derive(Parser)]
struct Options {
    /// The address to listen on; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:8443")]
    addr: SocketAddr,
    /// The number of pollers, each a thread; by default one for each processor
    #[arg(long, default_value_t = available_parallelism().unwrap_or(NonZeroUsize::MIN))]
    pollers: NonZeroUsize,
    /// The certificate with those that vouch for it, in PEM [default: a new one]
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Where to write the new certificate, in PEM
    #[arg(long, conflicts_with = "cert")]
    write_cert: Option<PathBuf>,
    /// The milliseconds that a client may take for a handshake, and be silent
    #[arg(long, value_name = "MS", default_value = "30000")]
    patience: NonZeroU64,
}
