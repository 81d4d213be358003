//! A TLS stream of futures-rustls through the adapter; the peer is rustls on a socket that blocks.

use std::io::{Read, Write};
use std::sync::Arc;

use corepoll::net::TcpStream;
use corepoll_tokio::TokioIo;
use futures_rustls::TlsConnector;
use futures_rustls::rustls::crypto::ring::default_provider;
use futures_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use futures_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Peer, pattern, wait_for};

/// A server's configuration, and that of a client that trusts it.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions of ring")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key that fits");
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions of ring")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[test]
fn a_tls_stream_carries_bytes_exactly_and_ends_with_close_notify() {
    let (server, client) = configs();
    let peer = Peer::start(move |stream| {
        let connection = ServerConnection::new(server).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let mut received = Vec::new();
        // The end of the stream is an error unless the peer has said close_notify.
        stream.read_to_end(&mut received)?;
        stream.write_all(&received)?;
        stream.conn.send_close_notify();
        stream.flush()?;
        Ok(())
    });
    let bytes = pattern(1_000_000);
    wait_for(async {
        let stream = TcpStream::connect(peer.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(client).connect(name, stream).await.expect("a handshake");
        let mut stream = TokioIo::new(stream);
        stream.write_all(&bytes).await.expect("written");
        stream.shutdown().await.expect("shut down");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.expect("close_notify comes");
        assert!(received == bytes, "{} bytes came back", received.len());
    });
    peer.join();
}
