//! An echo server over TLS, by handlers.
//!
//! ```text
//! cargo run -p corepoll-rustls --example tls_echo
//! openssl s_client -connect 127.0.0.1:8443 -quiet
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use clap::Parser;
use corepoll::{Acceptor, Action, CloseReason, EvContext, Interest, Reactor};
use corepoll_rustls::{Tls, TlsContext, TlsHandler};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Serves TLS, and answers with the same bytes.
#[derive(Parser)]
struct Options {
    /// The address to listen at.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: String,
    /// A file with the certificates, in PEM; without it one is made for localhost.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// A file with the key of the first certificate, in PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// How many pollers serve; 0 is one for each processor.
    #[arg(long, default_value_t = 0)]
    pollers: usize,
    /// Says nothing of connections.
    #[arg(long)]
    quiet: bool,
}

/// A connection, which reads no faster than its peer does.
struct Echo {
    quiet: bool,
}

impl TlsHandler for Echo {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_watermarks(64 * 1024, 256 * 1024);
        if !self.quiet {
            let (version, kind) = (cx.protocol_version(), cx.handshake_kind());
            println!("{}: {version:?}, {kind:?}", cx.peer_addr()?);
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&data)?;
        Ok(Action::Keep)
    }

    fn on_write_high(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        Ok(Action::Keep)
    }

    fn on_write_low(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }

    fn on_handshake_fail(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        if !self.quiet {
            println!("{:?}: no handshake: {reason:?}", cx.peer_addr());
        }
    }

    fn on_close(&mut self, _: &mut TlsContext<'_, '_>, reason: CloseReason) {
        if let (false, CloseReason::Error(error)) = (self.quiet, reason) {
            println!("a connection has failed: {error}");
        }
    }
}

/// Reads the certificates and the key, or makes them.
fn identity(
    options: &Options,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Box<dyn Error>> {
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        let (cert, key) = (fs::read(cert)?, fs::read(key)?);
        let certificates = CertificateDer::pem_slice_iter(&cert).collect::<Result<_, _>>()?;
        return Ok((certificates, PrivateKeyDer::from_pem_slice(&key)?));
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let (certificates, key) = identity(&options)?;
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    let mut builder = Reactor::builder();
    if options.pollers > 0 {
        builder = builder.pollers(options.pollers);
    }
    let reactor = builder.build()?;
    let quiet = options.quiet;
    let factory = Tls::server(Arc::new(config), move || Echo { quiet });
    let listening = Acceptor::new(&*options.listen).listen(&reactor.handle(), factory)?;
    println!("listening at {}", listening.local_addr()?);
    reactor.run()?;
    Ok(())
}
