//! No descriptors left, and two hundred clients waiting: no listener spins, and each client is accepted
//! as descriptors come free.
#![allow(unsafe_code)]

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::{Hello, hello};
use crate::common::{
    self, ANY, Server, connect, hold, in_own_process, load_of, open_descriptors, read_exactly,
};
use corepoll::{Acceptor, net, spawn_local};

const CLIENTS: usize = 200;

/// Allows descriptors up to `highest` and `more`.
fn limit_descriptors(highest: i32, more: u64) {
    let limit = libc::rlimit { rlim_cur: highest as u64 + 1 + more, rlim_max: 1 << 14 };
    // SAFETY: `limit` is readable.
    let answer = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
}

fn each_is_accepted(listen: impl FnOnce(&Server) -> SocketAddr) {
    let server = Server::start(1);
    let addr = listen(&server);
    let first = connect(addr);
    assert_eq!(read_exactly(&first, 5), b"hello");

    let held = hold(server.poller());
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(addr)).collect();
    let highest = clients.iter().map(AsRawFd::as_raw_fd).max().expect("there are some");
    limit_descriptors(highest, 8);
    drop(held);

    let load = load_of(server.poller(), Duration::from_millis(600));
    assert!(load < 0.05, "it spins: {load}");
    assert!(TcpStream::connect(addr).is_err(), "there are no descriptors left");
    // The one that was there before is served all the while.
    (&first).write_all(b"x").unwrap();
    for client in clients {
        assert_eq!(read_exactly(&client, 5), b"hello");
        // The descriptors of both ends come free.
    }
    limit_descriptors(highest, 100);
    drop(first);
    common::eventually("all are closed", || open_descriptors() < CLIENTS / 2);
}

#[test]
fn an_acceptor_waits_for_descriptors() {
    in_own_process(|| {
        each_is_accepted(|server| server.listen(|| Hello));
    });
}

#[test]
fn an_acceptor_with_reuse_port_waits_for_descriptors() {
    in_own_process(|| {
        each_is_accepted(|server| {
            let acceptor = Acceptor::new(ANY).reuse_port(true);
            acceptor.listen(server.handle(), || Hello).unwrap().local_addr().unwrap()
        });
    });
}

#[test]
fn a_service_waits_for_descriptors() {
    in_own_process(|| {
        each_is_accepted(|server| server.handle().serve(ANY, hello).unwrap().local_addr().unwrap());
    });
}

#[test]
fn a_listener_of_a_task_waits_for_descriptors() {
    in_own_process(|| {
        each_is_accepted(|server| {
            let (give, take) = std::sync::mpsc::channel();
            drop(server.poller().spawn_on(move || async move {
                let listener = net::TcpListener::bind(ANY).await.unwrap();
                give.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, peer) = listener.accept().await.expect("this is no failure");
                    drop(spawn_local(hello(stream, peer)));
                }
            }));
            take.recv().unwrap()
        });
    });
}
