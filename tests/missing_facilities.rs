//! Kernels that lack what not every kernel has. What is missing is done without where corepoll uses
//! it by itself, and is an error of the call where the user has asked for it by name: the table is in
//! ARCHITECTURE.md. Relays and files are in `relay.rs`, `relay_handlers.rs` and `send_file.rs`.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::refuse::{decide, refuse_if};
use common::{Echo, Server, ask, connect, in_a_process_of_its_own};
use corepoll::net::{self, ListenOptions};
use corepoll::{Acceptor, Listening, block_on};
use std::io;

// ---- IPv6 ----

#[test]
fn both_families_share_a_port_whatever_the_machine_says() {
    in_a_process_of_its_own("both_families_share_a_port_whatever_the_machine_says", || {
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        let option = (libc::IPPROTO_IPV6 as u64, libc::IPV6_V6ONLY as u64);
        decide(libc::SYS_setsockopt, move |arguments| {
            counter
                .fetch_add(usize::from((arguments[1], arguments[2]) == option), Ordering::Relaxed);
            None
        });
        let server = Server::start(1);
        let any = "[::]:0".parse::<SocketAddr>().unwrap();
        let by_both = |listening: Listening| {
            assert_eq!(told.swap(0, Ordering::Relaxed), 1, "not left to net.ipv6.bindv6only");
            let port = listening.local_addr().unwrap().port();
            ask(&connect(([127, 0, 0, 1], port).into()), b"4");
            ask(&connect(([0, 0, 0, 0, 0, 0, 0, 1], port).into()), b"6");
        };
        by_both(Acceptor::new(":0").listen(server.handle(), || Echo).unwrap());
        by_both(Acceptor::new("[::]:0").listen(server.handle(), || Echo).unwrap());
        by_both(server.handle().serve(any, common::echo).unwrap());
        block_on(async {
            let listener = net::TcpListener::bind(any).await.unwrap();
            assert_eq!(told.swap(0, Ordering::Relaxed), 1);
            drop(listener);
            let options = ListenOptions::new().only_v6(true);
            let six = net::TcpListener::bind_with(any, options).await.unwrap();
            let port = six.local_addr().unwrap().port();
            let four = net::TcpListener::bind(("0.0.0.0", port)).await;
            four.expect("the other family has the port to itself");
        });
    });
}

#[test]
fn a_host_without_ipv6_is_listened_at_by_ipv4() {
    in_a_process_of_its_own("a_host_without_ipv6_is_listened_at_by_ipv4", || {
        let six = [(0, libc::AF_INET6 as u32)];
        refuse_if(libc::SYS_socket, &six, libc::EAFNOSUPPORT);
        let server = Server::start(2);
        for shares in [false, true] {
            let acceptor = Acceptor::new(":0").reuse_port(shares);
            let addr = acceptor.listen(server.handle(), || Echo).unwrap().local_addr().unwrap();
            assert!(addr.is_ipv4());
            ask(&connect(([127, 0, 0, 1], addr.port()).into()), b"4");
        }
        let six = Acceptor::new("[::]:0").listen(server.handle(), || Echo);
        assert!(six.is_err(), "that one was asked for by name");
    });
}

#[test]
fn another_error_of_ipv6_is_not_hidden_by_ipv4() {
    in_a_process_of_its_own("another_error_of_ipv6_is_not_hidden_by_ipv4", || {
        let six = [(0, libc::AF_INET6 as u32)];
        refuse_if(libc::SYS_socket, &six, libc::EACCES);
        let server = Server::start(1);
        let listening = Acceptor::new(":0").listen(server.handle(), || Echo);
        let error = listening.expect_err("IPv6 is there, and forbidden");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    });
}
