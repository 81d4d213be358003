#![allow(dead_code)] // each test binary uses its part
//! Certificates, endpoints of both runtimes, and streams whose bytes are known.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use corepoll::{Reactor, Running};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;

/// The loopback address with a port that the system picks.
pub const ANY: &str = "127.0.0.1:0";

/// Longer than anything here takes on the slowest machine.
pub const LONG: Duration = Duration::from_secs(120);

/// Returns the configurations of a server and of a client that trusts its certificate.
pub fn configs() -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::with_single_cert(vec![certificate], key).unwrap();
    let client = ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    (server, client)
}

/// Starts a reactor of `pollers` pollers.
pub fn reactor(pollers: usize) -> Running {
    Reactor::builder().pollers(pollers).build().unwrap().start().unwrap()
}

/// Runs `future` to its end on tokio, in this thread.
pub fn on_tokio<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, future).await.expect("it hangs") })
}

/// Runs `future` to its end on a poller of this thread.
pub fn on_corepoll<F: Future>(future: F) -> F::Output {
    corepoll::block_on(async { corepoll::time::timeout(LONG, future).await.expect("it hangs") })
}

/// Returns an endpoint of the runtime that this runs on, which connects as `config` says.
pub fn client(config: ClientConfig) -> Endpoint {
    let addr = ANY.parse().unwrap();
    let endpoint = match tokio::runtime::Handle::try_current() {
        Ok(_) => Endpoint::client(addr),
        Err(_) => corepoll_quinn::client(addr),
    };
    let mut endpoint = endpoint.unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// Returns an endpoint of the runtime that this runs on, which accepts connections.
pub fn server(config: ServerConfig) -> Endpoint {
    let addr = ANY.parse().unwrap();
    let endpoint = match tokio::runtime::Handle::try_current() {
        Ok(_) => Endpoint::server(config, addr),
        Err(_) => corepoll_quinn::server(config, addr),
    };
    endpoint.unwrap()
}

/// The byte at `place` of a stream. The period of the sequence divides no size of a buffer or packet.
fn byte(place: u64) -> u8 {
    (place % 251) as u8
}

/// Sends `count` bytes, and the end.
pub async fn send(stream: &mut SendStream, count: u64) {
    // A piece and a period more: each piece begins somewhere in the first period.
    let pattern: Bytes = (0..64 * 1024 + 251).map(byte).collect();
    let mut sent = 0;
    while sent < count {
        let size = (64 * 1024).min(count - sent) as usize;
        let first = (sent % 251) as usize;
        stream.write_chunk(pattern.slice(first..first + size)).await.unwrap();
        sent += size as u64;
    }
    stream.finish().unwrap();
}

/// Receives until the end, compares each byte, and returns how many there were.
pub async fn receive(stream: &mut RecvStream) -> u64 {
    let mut place = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await.unwrap() {
        for received in &chunk.bytes {
            assert_eq!(*received, byte(place), "at {place}");
            place += 1;
        }
    }
    place
}

/// Accepts one connection, receives a stream on it, and sends as many bytes back.
pub async fn mirror(endpoint: &Endpoint) {
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let (mut out, mut stream) = connection.accept_bi().await.unwrap();
    let count = receive(&mut stream).await;
    send(&mut out, count).await;
    connection.closed().await;
}

/// Mirrors one connection on quinn's own runtime, in a thread of its own. Returns where, and what ends
/// with it.
pub fn mirror_on_tokio(config: ServerConfig) -> (SocketAddr, JoinHandle<()>) {
    let (tell, told) = mpsc::channel();
    let serving = thread::spawn(move || {
        on_tokio(async {
            let server = server(config);
            let _ = tell.send(server.local_addr().unwrap());
            mirror(&server).await;
        });
    });
    (told.recv().unwrap(), serving)
}

/// Connects to a mirror, and sends `count` bytes to and fro.
pub async fn to_and_fro(endpoint: &Endpoint, addr: SocketAddr, count: u64) {
    let connection = connect(endpoint, addr).await;
    let (mut out, mut stream) = connection.open_bi().await.unwrap();
    send(&mut out, count).await;
    assert_eq!(receive(&mut stream).await, count);
    connection.close(0u32.into(), b"done");
    endpoint.wait_idle().await;
}

/// Connects to the server at `addr`.
pub async fn connect(endpoint: &Endpoint, addr: SocketAddr) -> Connection {
    endpoint.connect(addr, "localhost").unwrap().await.unwrap()
}
