// What the hidden lines of the docs' examples of callbacks have in common; they include this file.

pub use std::io::{self, IoSlice, Read, Write};
pub use std::thread;
pub use std::time::Duration;

pub use corepoll::*;
pub use corepoll_rustls::*;
pub use rustls;

use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// Returns a server's configuration for `localhost`, and that of a client which trusts it.
fn configs() -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut server = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut client = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    server.alpn_protocols = vec![b"greeting/1".to_vec()];
    client.alpn_protocols = vec![b"greeting/1".to_vec()];
    (server, client)
}

/// Says `question` over TLS to a connection of `handler`, and gives all that it answers.
pub fn ask<H: TlsHandler + Send>(handler: H, question: &str) -> String {
    let (server, client) = configs();
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let only = Mutex::new(Some(handler));
    let factory = Tls::server(Arc::new(server), move || only.lock().unwrap().take().unwrap());
    let listening = Acceptor::new("127.0.0.1:0").listen(&running.handle(), factory).unwrap();
    let stream = std::net::TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut client = StreamOwned::new(connection, stream);
    client.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
    answer
}
