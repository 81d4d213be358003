//! Certificates, a server of handlers that tell the test what they hear, and rustls' own blocking
//! API as the peer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use corepoll::{Acceptor, Action, Budget, CloseReason, EvContext, Listening, Reactor, Running};
use corepoll_rustls::{TlsContext, TlsHandler, TlsOptions};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Both versions of TLS.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate for one name, signed by itself, and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    pub fn new(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("it is made");
        let key = made.signing_key.serialize_der();
        Identity { certificate: made.cert.der().clone(), key }
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a certificate");
        roots
    }

    pub fn server(&self) -> ServerConfig {
        ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key())
            .expect("key and certificate fit")
    }

    /// A server that asks for a certificate which `client` has signed.
    pub fn server_that_asks(&self, client: &Identity) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(client.roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_client_cert_verifier(verifier.build().expect("there is a root"))
            .with_single_cert(vec![self.certificate.clone()], self.key())
            .expect("key and certificate fit")
    }

    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(versions)
            .expect("ring has them")
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    pub fn client_with(
        &self,
        own: &Identity,
        version: &'static SupportedProtocolVersion,
    ) -> ClientConfig {
        ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[version])
            .expect("ring has them")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![own.certificate.clone()], own.key())
            .expect("key and certificate fit")
    }
}

/// What a handler tells the test.
pub type Heard = Receiver<String>;

/// Waits for what a handler has to tell.
pub fn next(heard: &Heard) -> String {
    heard.recv_timeout(PATIENCE).expect("the handler tells something")
}

/// Calls its closure for each piece of plaintext, and tells its ends.
pub struct Session<F> {
    pub tell: Sender<String>,
    pub on_data: F,
}

/// The reason of an end, without what differs between runs.
pub fn text(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Error(error) => format!("{:?}: {error}", error.kind()),
        other => format!("{other:?}"),
    }
}

impl<F> TlsHandler for Session<F>
where
    F: FnMut(&mut TlsContext<'_, '_>, &[u8]) -> io::Result<Action> + 'static,
{
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let name = cx.server_name().unwrap_or("-").to_owned();
        let alpn = cx.alpn_protocol().map_or("-".into(), String::from_utf8_lossy).into_owned();
        let certificates = cx.peer_certificates().map_or(0, <[_]>::len);
        let (version, kind) = (cx.protocol_version(), cx.handshake_kind());
        let line = format!("open {name} {alpn} {certificates} {version:?} {kind:?}");
        let _ = self.tell.send(line.replace("Some(", "").replace(')', ""));
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        (self.on_data)(cx, &data)
    }

    fn on_handshake_fail(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        assert!(cx.peer_addr().is_ok() || matches!(reason, CloseReason::Error(_)));
        let _ = self.tell.send(format!("failed {}", text(&reason)));
    }

    fn on_close(&mut self, cx: &mut TlsContext<'_, '_>, reason: CloseReason) {
        assert_eq!(cx.write(b"late").expect_err("it is closed").kind(), io::ErrorKind::BrokenPipe);
        let _ = self.tell.send(format!("closed {}", text(&reason)));
    }
}

/// Answers with the same bytes.
pub fn echo(cx: &mut TlsContext<'_, '_>, data: &[u8]) -> io::Result<Action> {
    cx.write(data)?;
    Ok(if data.is_empty() { Action::Close } else { Action::Keep })
}

/// A reactor of one poller that listens.
pub struct Server {
    pub running: Running,
    pub addr: SocketAddr,
    _listening: Listening,
}

impl Server {
    pub fn of<H: TlsHandler>(
        options: TlsOptions,
        config: ServerConfig,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Server {
        Server::with_budget(Budget::default(), options, config, factory)
    }

    pub fn with_budget<H: TlsHandler>(
        budget: Budget,
        options: TlsOptions,
        config: ServerConfig,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Server {
        let reactor = Reactor::builder().pollers(1).budget(budget).build().expect("it is made");
        let factory = options.server(Arc::new(config), factory);
        let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), factory);
        let listening = listening.expect("it listens");
        let addr = listening.local_addr().expect("it has an address");
        let running = reactor.start().expect("it starts");
        Server { running, addr, _listening: listening }
    }

    /// A server whose connections answer with the same bytes, and tell what they hear.
    pub fn echo(config: ServerConfig) -> (Server, Heard) {
        Server::of_sessions(config, || echo)
    }

    pub fn of_sessions<F>(
        config: ServerConfig,
        make: impl Fn() -> F + Send + Sync + 'static,
    ) -> (Server, Heard)
    where
        F: FnMut(&mut TlsContext<'_, '_>, &[u8]) -> io::Result<Action> + 'static,
    {
        let (tell, heard) = channel();
        let server = Server::of(TlsOptions::new(), config, move || Session {
            tell: tell.clone(),
            on_data: make(),
        });
        (server, heard)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.handle().shutdown(Duration::ZERO);
    }
}

/// A blocking connection of rustls.
pub type Client = StreamOwned<ClientConnection, TcpStream>;

/// Connects to `addr`, without a handshake.
pub fn plain(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("it is a socket");
    stream
}

/// Connects a blocking client, whose handshake comes with its first byte.
pub fn connect(addr: SocketAddr, config: Arc<ClientConfig>, name: &'static str) -> Client {
    let name = ServerName::try_from(name).expect("it is a name");
    let connection = ClientConnection::new(config, name).expect("the configuration is whole");
    StreamOwned::new(connection, plain(addr))
}

/// Sends `bytes`, and reads as many.
pub fn exchange(client: &mut Client, bytes: &[u8]) -> Vec<u8> {
    client.write_all(bytes).expect("it is sent");
    client.flush().expect("it is sent");
    let mut answer = vec![0; bytes.len()];
    client.read_exact(&mut answer).expect("it is answered");
    answer
}

/// Ends a client with its close_notify.
pub fn finish(client: &mut Client) {
    client.conn.send_close_notify();
    client.flush().expect("it is sent");
}
