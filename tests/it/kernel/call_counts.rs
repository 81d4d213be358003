//! Counts the system calls of connections, by a filter that sees each of them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::refuse::decide_among;
use crate::common::{Echo, PATIENCE, Server, connect, in_own_process};

/// How often a call was made.
#[derive(Default)]
struct Calls {
    accept: AtomicUsize,
    modify: AtomicUsize,
}

/// Counts the calls of the threads that are started from now on.
fn count() -> Arc<Calls> {
    let calls = Arc::new(Calls::default());
    let counted = calls.clone();
    decide_among(&[libc::SYS_accept4, libc::SYS_epoll_ctl], move |number, arguments| {
        if number == libc::SYS_accept4 {
            counted.accept.fetch_add(1, SeqCst);
        } else if arguments[1] == libc::EPOLL_CTL_MOD as u64 {
            counted.modify.fetch_add(1, SeqCst);
        }
        None
    });
    calls
}

/// Sends something, and reads until the server ends the connection.
fn visit(addr: SocketAddr) {
    let mut client: TcpStream = connect(addr);
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"hello");
}

/// accept4 is called once for each connection that comes alone, but for a few tries to find more, and
/// epoll is not told of an interest that ends with its descriptor.
#[test]
fn a_lone_connection_is_accepted_by_one_call_and_ends_without_a_change_of_interest() {
    const VISITS: usize = 200;
    in_own_process(|| {
        let calls = count();
        let server = Server::start(1);
        let addr = server.listen(|| Echo);
        (0..VISITS).for_each(|_| visit(addr));
        let accepts = calls.accept.load(SeqCst);
        assert!((VISITS..VISITS + 10).contains(&accepts), "{accepts} for {VISITS}");
        // The poller's own descriptors change theirs once or twice.
        let modifications = calls.modify.load(SeqCst);
        assert!(modifications < 10, "{modifications} for {VISITS}");
        server.stop(PATIENCE);
    });
}
