//! In steady state a writer allocates nothing, on neither side: not for a burst, and not for one
//! message to many connections.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::common::counting::allocations;
use crate::common::{self, PATIENCE, Server, connect};
use bytes::Bytes;
use corepoll::{Action, EvContext, EvHandler, Writer};

struct Lend(Sender<Writer>);

impl EvHandler for Lend {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send(cx.writer());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

fn server() -> (Server, std::net::SocketAddr, Receiver<Writer>) {
    let (give, take) = channel();
    let (server, addr) = Server::of_handlers(move || Lend(give.clone()));
    (server, addr, take)
}

/// How many allocations the poller's thread has made, told without one.
fn of_poller(server: &Server) -> u64 {
    const UNKNOWN: u64 = u64::MAX;
    let count = Arc::new(AtomicU64::new(UNKNOWN));
    let told = count.clone();
    assert!(server.poller().run_on(move || told.store(allocations(), SeqCst)).is_ok());
    while count.load(SeqCst) == UNKNOWN {
        thread::yield_now();
    }
    count.load(SeqCst)
}

fn receive(mut client: &TcpStream, buffer: &mut [u8]) {
    client.read_exact(buffer).expect("it comes");
}

/// Says what `round` allocates after a warm-up, here and on the poller.
fn allocated(server: &Server, mut round: impl FnMut()) -> (u64, u64) {
    (0..50).for_each(|_| round());
    let (here, there) = (allocations(), of_poller(server));
    (0..200).for_each(|_| round());
    let here_now = allocations();
    // The question itself: the closure and its count are allocated here.
    (here_now - here - 2, of_poller(server) - there)
}

#[test]
fn a_burst_allocates_nothing() {
    let (server, addr, lent) = server();
    let client = connect(addr);
    let writer = lent.recv_timeout(PATIENCE).expect("on_open is called");
    for (pieces, piece) in [(1, 100), (32, 100), (700, 16), (64, 20_000)] {
        let bytes = Bytes::from(vec![7; piece]).slice(..);
        let mut buffer = vec![0; pieces * piece];
        // The queues grow with the largest burst that has come all at once: here it does, in each.
        for _ in 0..4 {
            let held = common::hold(server.poller());
            (0..pieces).for_each(|_| writer.write(bytes.clone()).expect("it goes on"));
            drop(held);
            receive(&client, &mut buffer);
        }
        let found = allocated(&server, || {
            (0..pieces).for_each(|_| writer.write(bytes.clone()).expect("it goes on"));
            receive(&client, &mut buffer);
        });
        assert_eq!(found, (0, 0), "{pieces} pieces of {piece} bytes");
    }
}

#[test]
fn one_message_to_many_allocates_nothing() {
    const RECIPIENTS: usize = 300;
    let (server, addr, lent) = server();
    let clients: Vec<TcpStream> = (0..RECIPIENTS).map(|_| connect(addr)).collect();
    let writers: Vec<Writer> =
        clients.iter().map(|_| lent.recv_timeout(PATIENCE).expect("it opens")).collect();
    let message = Bytes::from(vec![7; 200]);
    let mut buffer = [0; 200];
    let found = allocated(&server, || {
        writers.iter().for_each(|writer| writer.write(message.clone()).expect("it goes on"));
        clients.iter().for_each(|client| receive(client, &mut buffer));
    });
    assert_eq!(found, (0, 0));
}
