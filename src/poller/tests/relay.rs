//! Both directions of a relay, on a whole poller.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use crate::connection::relay::duplex::Duplex;
use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pipes;
use crate::connection::relay::step::Step;
use crate::parts::budget::Budget;
use crate::parts::readiness::Direction;
use crate::poller::Poller;

impl Endpoint for TcpStream {
    fn is_ready(&self, _: Direction) -> bool {
        true
    }

    fn try_io(
        &self,
        _: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        operation(self.as_fd())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn may_have_urgent_mark(&self) -> bool {
        false
    }

    fn expect_input(&self) {}

    fn check_for_failure(&self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a connected pair of sockets: one for the relay, and its peer.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    (ours, peer)
}

#[test]
fn what_is_on_its_way_comes_out_when_a_relay_is_stopped() {
    let poller = Poller::on_this_thread(Budget::default()).unwrap();
    let local = poller.local();
    let ((a, mut near), (b, mut far)) = (pair(), pair());
    let (mut relay, mut sent) = (Duplex::new(), Vec::new());
    // Until the target takes nothing any more and the pipe is full.
    while relay.pump([&a, &b], local)[0] != Step::Waiting(Direction::Write) {
        let bytes: Vec<u8> = (0..10_007).map(|at| (at + sent.len()) as u8).collect();
        if let Ok(count) = near.write(&bytes) {
            sent.extend_from_slice(&bytes[..count]);
        }
    }
    let moved = relay.moved()[0] as usize;
    let [to_first, to_second] = relay.stop(local);
    assert!(to_first.is_empty() && !to_second.is_empty());
    assert!(to_second[..] == sent[moved..moved + to_second.len()], "bytes are damaged");
    let mut got = vec![0; moved];
    far.set_nonblocking(false).unwrap();
    far.read_exact(&mut got).unwrap();
    assert!(got[..] == sent[..moved], "bytes are damaged");
    // The pipe has gone back to the poller empty.
    assert!(pipes::take(local).unwrap().read(&mut [0]).is_err());
}
