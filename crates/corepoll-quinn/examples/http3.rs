//! Serves a folder over HTTP/3, with a certificate of its own; and gets a file from such a server.
//!
//! ```text
//! cargo run -p corepoll-quinn --example http3
//! cargo run -p corepoll-quinn --example http3 -- --get https://127.0.0.1:4433/README.md
//! ```

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Component, Path, PathBuf};
use std::{fs, process::ExitCode, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use clap::Parser;
use corepoll::{Reactor, ReactorHandle, blocking::spawn_blocking, shutdown_requested, spawn_local};
use corepoll_quinn::{accept, drain, quinn};
use futures::{FutureExt, select_biased};
use http::{Request, Response, StatusCode, Uri};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Serves a folder over HTTP/3, or gets a file from such a server.
#[derive(Parser)]
#[command(name = "http3")]
struct Options {
    /// Where the server listens
    #[arg(long, default_value = "127.0.0.1:4433")]
    listen: SocketAddr,
    /// The folder that is served
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// The file of the certificate, which the server makes and the client trusts
    #[arg(long, default_value = "target/http3.pem")]
    certificate: PathBuf,
    /// Be a client: get this URL, and print what comes
    #[arg(long, value_name = "URL")]
    get: Option<Uri>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.get {
        Some(uri) => corepoll::block_on(get(uri, &options.certificate)),
        None => run(options),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("http3: {error}");
    ExitCode::FAILURE
}

fn run(options: Options) -> Result<(), Error> {
    let reactor = Reactor::builder().pollers(1).build()?;
    let serving = reactor.handle().pollers()[0].spawn_on(|| async move {
        let served = serve(options).await;
        ReactorHandle::current().shutdown(Duration::ZERO);
        served
    });
    reactor.run()?;
    corepoll::block_on(serving)?
}

/// Serves until a signal comes, and gives the connections five seconds to end.
async fn serve(options: Options) -> Result<(), Error> {
    let made = rcgen::generate_simple_self_signed([options.listen.ip().to_string()])?;
    fs::write(&options.certificate, made.cert.pem())
        .map_err(|error| format!("{}: {error}", options.certificate.display()))?;
    let (chain, key) = (vec![made.cert.der().clone()], made.signing_key.serialize_der());
    let tls = ServerConfig::builder().with_no_client_auth();
    let mut tls = tls.with_single_cert(chain, key.try_into()?)?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let endpoint = corepoll_quinn::server(config, options.listen)?;
    println!("listening on https://{}", endpoint.local_addr()?);
    spawn_local(async {
        let _ = corepoll::signal::any([libc::SIGINT, libc::SIGTERM]).await;
        ReactorHandle::current().shutdown(Duration::from_secs(10));
    });
    while let Some(incoming) = accept(&endpoint).await {
        spawn_reporting(connection(incoming, options.root.clone()));
    }
    drain(&endpoint, Duration::from_secs(5)).await;
    Ok(())
}

/// Answers the requests of a connection: no new ones once the reactor is asked to shut down.
async fn connection(incoming: quinn::Incoming, root: PathBuf) -> Result<(), Error> {
    let mut http = h3::server::Connection::new(h3_quinn::Connection::new(incoming.await?)).await?;
    let mut shutdown = shutdown_requested().fuse();
    loop {
        let next = select_biased! {
            () = shutdown => { http.shutdown(0).await?; continue }
            next = http.accept().fuse() => next,
        };
        let resolver = match next {
            Ok(Some(resolver)) => resolver,
            Err(error) if !error.is_h3_no_error() => return Err(error.into()),
            Ok(None) | Err(_) => return Ok(()),
        };
        let root = root.clone();
        spawn_reporting(async move {
            let (request, mut stream) = resolver.resolve_request().await?;
            let content = read(&root, request.uri().path()).await;
            let status = if content.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            stream.send_response(Response::builder().status(status).body(())?).await?;
            stream.send_data(Bytes::from(content.unwrap_or_default())).await?;
            Ok(stream.finish().await?)
        });
    }
}

/// Reads a file below `root`, on a thread that may wait.
async fn read(root: &Path, path: &str) -> Option<Vec<u8>> {
    let path = Path::new(path.strip_prefix('/')?);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
    let path = is_below.then(|| root.join(path))?;
    spawn_blocking(|| fs::read(path)).await.ok()?.ok()
}

fn spawn_reporting(task: impl Future<Output = Result<(), Error>> + 'static) {
    spawn_local(async { task.await.unwrap_or_else(|error| eprintln!("http3: {error}")) });
}

/// Gets `uri` from a server with that certificate, and prints the body as it comes.
async fn get(uri: &Uri, certificate: &Path) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let host = uri.host().ok_or("the URL has no host")?;
    let mut addrs = (host, uri.port_u16().unwrap_or(443)).to_socket_addrs()?;
    let endpoint = corepoll_quinn::client("[::]:0".parse()?)?;
    let connection =
        endpoint.connect_with(config, addrs.next().ok_or("no address")?, host)?.await?;
    let (mut driver, mut requests) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    spawn_local(async move { driver.wait_idle().await });
    let mut stream = requests.send_request(Request::get(uri).body(())?).await?;
    stream.finish().await?; // the request has no body
    let status = stream.recv_response().await?.status();
    while let Some(mut data) = stream.recv_data().await? {
        io::stdout().write_all(&data.copy_to_bytes(data.remaining()))?;
    }
    drop(requests); // closes the connection
    endpoint.wait_idle().await;
    if status.is_success() { Ok(()) } else { Err(format!("the server answers {status}").into()) }
}
