//! Many handshakes. The peer is rustls on std sockets.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use futures_rustls::TlsAcceptor;
use interop::certificates::Certificates;
use interop::common::{connect, in_own_process, raise_descriptor_limit};
use interop::{Server, eventually, memory};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::echo;

/// How many clients shake hands.
const HANDSHAKES: usize = 10_000;

/// How many threads connect, and how many connections each holds open at once.
const THREADS: usize = 4;
const OPEN: usize = 250;

/// A server of two pollers that echoes, and the count of the connections that ended without an error.
fn serve(certificates: &Certificates) -> (Server, SocketAddr, Arc<AtomicUsize>) {
    let config = certificates.server(&[]);
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let server = Server::start(2);
    let listening = server.handle().serve(interop::ANY, move |stream, _| {
        let (acceptor, count) = (TlsAcceptor::from(config.clone()), Arc::clone(&count));
        async move {
            if echo(acceptor, stream).await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    (server, addr, ended)
}

/// Opens [`OPEN`] connections, waits until all threads have theirs, and then uses and ends each.
fn connect_and_ask(addr: SocketAddr, config: &Arc<ClientConfig>, all_open: &Barrier) {
    let open = (0..OPEN).map(|_| {
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
        let mut stream = StreamOwned::new(connection, connect(addr));
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
        stream
    });
    let open: Vec<_> = open.collect();
    all_open.wait();
    for mut stream in open {
        stream.write_all(b"4\nping").expect("it is read");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("a clean end");
        assert_eq!(answer, b"ping");
    }
}

#[test]
fn ten_thousand_clients_shake_hands() {
    in_own_process(|| {
        raise_descriptor_limit();
        let certificates = Certificates::new();
        let (_server, addr, ended) = serve(&certificates);
        let mut config = Arc::unwrap_or_clone(certificates.client(&[]));
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        // Each round has as many connections open at once: what the first ones leave is enough.
        let all_open = Barrier::new(THREADS);
        let all_threads = |rounds: usize| {
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        (0..rounds).for_each(|_| connect_and_ask(addr, &config, &all_open));
                    });
                }
            });
        };
        all_threads(2);
        let before = memory::resident();
        all_threads(HANDSHAKES / THREADS / OPEN - 2);
        eventually("all ended well", || ended.load(Ordering::SeqCst) == HANDSHAKES);
        // What the first two thousand left, and what malloc keeps for each thread, is used again.
        let growth = memory::resident().saturating_sub(before);
        assert!(growth < 16 << 20, "{growth} bytes");
    });
}
