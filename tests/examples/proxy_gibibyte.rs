//! The `proxy` example under load: a gibibyte each way at once, and one side is slow.

use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;
use std::thread;
use std::time::Instant;

use crate::common::{self, PATIENCE, eventually, patient};
use crate::slow_peers::send_until_held_back;
use crate::support::Server;

const GIBIBYTE: usize = 1 << 30;

/// How much is written and compared at once.
const BLOCK: usize = 256 * 1024;

/// After how many bytes the content repeats: a prime, so that no block is like another one near it.
const PERIOD: usize = 65_521;

/// What is sent one way: comparing costs no more than to look at the bytes.
struct Content(Vec<u8>);

static UP: LazyLock<Content> = LazyLock::new(|| Content::new(0x9e37_79b9));
static DOWN: LazyLock<Content> = LazyLock::new(|| Content::new(0x85eb_ca6b));

impl Content {
    fn new(factor: u32) -> Content {
        let byte = |index| ((index % PERIOD) as u32).wrapping_mul(factor).to_be_bytes()[0];
        Content((0..PERIOD + BLOCK).map(byte).collect())
    }

    /// The bytes from `offset` on, at most a block of them.
    fn at(&self, offset: usize, length: usize) -> &[u8] {
        &self.0[offset % PERIOD..][..length]
    }

    fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        (0..GIBIBYTE / BLOCK).map(|block| self.at(block * BLOCK, BLOCK))
    }

    /// Reads all of it, so much at a time, and then the end.
    fn receive(&self, stream: &TcpStream, at_a_time: usize) {
        let mut piece = vec![0; at_a_time];
        let mut received = 0;
        loop {
            let length = common::read_some(stream, &mut piece);
            if length == 0 {
                break;
            }
            assert!(piece[..length] == *self.at(received, length), "at {received}");
            received += length;
        }
        assert_eq!(received, GIBIBYTE);
    }
}

#[test]
fn a_gibibyte_each_way_at_once_arrives_though_one_side_is_slow_and_leaves_no_descriptor() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = upstream.local_addr().expect("an address").to_string();
    let arguments = ["--addr", "127.0.0.1:0", "--pollers", "2", "--upstream", &address];
    let server = Server::start_with("proxy", &arguments);
    // With its first line of statistics all of it has begun.
    server.next_line();
    let at_first = server.descriptors();

    let near = server.connect();
    let far = patient(upstream.accept().expect("the proxy connects").0);
    socket2::SockRef::from(&far).set_recv_buffer_size(64 * 1024).expect("SO_RCVBUF");
    let (sending_up, held_back) = send_until_held_back(&near, UP.blocks());
    let (sending_down, _) = send_until_held_back(&far, DOWN.blocks());
    thread::scope(|scope| {
        scope.spawn(|| DOWN.receive(&near, BLOCK));
        held_back.recv().expect("the proxy took all, though nothing was read");
        assert!(server.descriptors() > at_first);
        UP.receive(&far, 8 * 1024);
    });
    for sending in [sending_up, sending_down] {
        sending.join().expect("all was sent");
    }
    // The pipes are kept for a moment.
    eventually("the descriptors are closed", || server.descriptors() == at_first);
    let counts = format!("open 0 total 1 refused 0 up {GIBIBYTE} down {GIBIBYTE}");
    // A line a second has been on its way, for as long as it took.
    let start = Instant::now();
    while server.next_line() != counts {
        assert!(start.elapsed() < PATIENCE, "{counts}");
    }
}
