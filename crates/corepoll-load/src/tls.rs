//! TLS: what the options ask for, and connections whose handshake is done before they are measured.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{Action, CloseReason, EvContext, Notifier, TimerId};
use corepoll_rustls::{TlsContext, TlsHandler, TlsOptions};
use futures::channel::oneshot;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::connection::{Connection, invalid};
use crate::options::{Options, Protocol};
use crate::wire::Wire;

/// How connections are secured.
#[derive(Debug, Clone)]
pub struct Security {
    /// What rustls is to do.
    config: Arc<ClientConfig>,
    /// Who the server has to prove to be.
    name: ServerName<'static>,
    /// The limits of a handshake.
    options: TlsOptions,
}

impl Security {
    /// Returns what `options` ask for; `None` if that is no TLS.
    ///
    /// # Errors
    ///
    /// Returns a sentence for options that need TLS without it, for certificates that can't be read,
    /// and for a host that is no name.
    pub fn of(options: &Options, protocol: Protocol) -> Result<Option<Security>, String> {
        if !options.has_tls() {
            let asks = options.insecure || options.ca.is_some() || options.server_name.is_some();
            return if asks {
                Err("--insecure, --ca and --server-name ask for --tls or https://".into())
            } else {
                Ok(None)
            };
        }
        let host = options.server_name.as_deref().unwrap_or_else(|| options.host());
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| format!("{host}: {error}"))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if options.insecure {
            let verifier = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            builder.with_root_certificates(roots(options)?)
        };
        let mut config = builder.with_no_client_auth();
        if protocol == Protocol::Http {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        // Each connection is a new client's: its handshake is a whole one.
        config.resumption = Resumption::disabled();
        let options = TlsOptions::new().handshake_timeout(options.timeout);
        Ok(Some(Security { config: Arc::new(config), name, options }))
    }

    /// Shakes hands over `stream`.
    ///
    /// # Errors
    ///
    /// Returns the reason for which the handshake has failed.
    pub async fn shake_hands(&self, stream: TcpStream) -> io::Result<Opened> {
        let (tell, opened) = oneshot::channel();
        let handler = Secured { opened: Some(tell), next: Rc::default(), connection: None };
        let next = handler.next.clone();
        let (config, name) = (self.config.clone(), self.name.clone());
        stream.into_handler(self.options.clone().client(config, name, handler))?;
        match opened.await {
            Ok(told) => Ok(Opened { notifier: told?, next }),
            // The handler was dropped with its poller.
            Err(oneshot::Canceled) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Returns the certificates to trust: those of the file that is named, or the system's.
fn roots(options: &Options) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &options.ca else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return match found.errors.first() {
            Some(error) if roots.is_empty() => Err(error.to_string()),
            _ if roots.is_empty() => {
                Err("this system trusts no certificate: name one by --ca".into())
            }
            _ => Ok(roots),
        };
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"no certificate in it")) } else { Ok(roots) }
}

/// A connection whose handshake is done, as its task sees it.
#[derive(Debug)]
pub struct Opened {
    /// Calls its handler.
    notifier: Notifier,
    /// What its handler is to send by.
    next: Rc<RefCell<Option<Connection>>>,
}

impl Opened {
    /// Returns `true` if the connection has ended.
    pub fn has_ended(&self) -> bool {
        // The other owner is the handler.
        Rc::strong_count(&self.next) == 1
    }

    /// Has `connection` send on it from now on.
    pub fn begin(self, connection: Connection) -> io::Result<()> {
        self.next.replace(Some(connection));
        self.notifier.notify()
    }
}

/// The handler of a TLS connection.
struct Secured {
    /// Hears of the end of the handshake.
    opened: Option<oneshot::Sender<io::Result<Notifier>>>,
    /// What the task brings when the load begins.
    next: Rc<RefCell<Option<Connection>>>,
    /// What the load does on it; `None` before that.
    connection: Option<Connection>,
}

impl Secured {
    /// Tells the task how the handshake has gone. The task may have ended with the load.
    fn tell(&mut self, result: io::Result<Notifier>) {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(result);
        }
    }
}

impl Wire for TlsContext<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)
    }

    fn set_timer(&mut self, delay: Duration) -> TimerId {
        self.set_timer(delay)
    }

    fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool {
        self.reset_timer(timer, delay)
    }
}

impl TlsHandler for Secured {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        cx.set_nodelay(true)?;
        let notifier = cx.notifier();
        self.tell(Ok(notifier));
        Ok(Action::Keep)
    }

    fn on_notify(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let next = self.next.take();
        match next {
            Some(connection) => self.connection.insert(connection).begin(cx),
            None => Ok(Action::Keep),
        }
    }

    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let bytes = cx.read()?;
        match &mut self.connection {
            Some(connection) => connection.take(cx, &bytes),
            None if bytes.is_empty() => Ok(Action::Close),
            None => Err(invalid("a response that was not asked for")),
        }
    }

    fn on_timeout(&mut self, cx: &mut TlsContext<'_, '_>, timer: TimerId) -> io::Result<Action> {
        match &mut self.connection {
            Some(connection) => connection.fire(cx, timer),
            None => Ok(Action::Keep),
        }
    }

    fn on_handshake_fail(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.tell(Err(match reason {
            CloseReason::Error(error) => error,
            other => io::Error::other(other.to_string()),
        }));
    }

    fn on_close(&mut self, _cx: &mut TlsContext<'_, '_>, reason: CloseReason) {
        // It may have been brought after the last call.
        if let Some(mut connection) = self.connection.take().or_else(|| self.next.take()) {
            connection.end(reason);
        }
    }
}

/// Accepts every certificate; the server still has to prove that it has the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
