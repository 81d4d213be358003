//! Callbacks of a connection that relays: they read nothing, and no deadline takes them for bytes.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::ends::Side;
use crate::common::{PATIENCE, Server, tcp_pair};
use corepoll::{Deadlines, Interest};

/// How long the peers may be silent.
const LIMIT: Duration = Duration::from_millis(100);

/// How often the handlers are called meanwhile.
const PERIOD: Duration = Duration::from_millis(20);

#[test]
fn a_silent_relay_ends_by_its_deadlines_whatever_its_handlers_are_called_for() {
    let server = Server::start(1);
    let [read, idle] = [
        Deadlines { read: Some(LIMIT), ..Deadlines::default() },
        Deadlines { idle: Some(LIMIT), ..Deadlines::default() },
    ];
    for deadlines in [read, idle] {
        let ((one, _near), (two, _far)) = (tcp_pair(), tcp_pair());
        let (ended, outcome) = channel();
        let far = Some((OwnedFd::from(two), deadlines));
        let make = move || Side { far, near: None, deadlines, period: Some(PERIOD), ended };
        server.poller().register(OwnedFd::from(one), Interest::NONE, make).unwrap();
        for _ in 0..2 {
            let ended = outcome.recv_timeout(PATIENCE).expect("the relay ends");
            assert_eq!(ended, Err(io::ErrorKind::TimedOut), "{deadlines:?}");
        }
    }
}
