//! Clients of HTTP/2 that waste what the server has. Each loses its own connection, or stays without an
//! effect; others are served, and the server's memory stays bounded.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use interop::common::{in_own_process, is_ended};
use interop::h2::{Client, End, code, field, flag, frame, kind, request};
use interop::{eventually, memory};

use super::answers::HANGING;
use super::serve;

/// More than a client may send of anything that is not wanted.
const TOO_MUCH: usize = 64 << 20;

/// Runs an attack in a process of its own, and looks at the server after it.
fn attack(with: impl FnOnce(SocketAddr)) {
    let (_server, addr) = serve();
    let mut standing = Client::connect(addr);
    assert_eq!(standing.get(1, "/"), b"hello");
    memory::forget_peak();
    let before = memory::resident();
    with(addr);
    assert_eq!(standing.get(3, "/"), b"hello", "in a connection that was open before");
    assert_eq!(Client::connect(addr).get(1, "/"), b"hello", "in a new connection");
    let growth = memory::peak() - before;
    assert!(growth < 32 << 20, "{growth} bytes");
    eventually("no request is left", || HANGING.load(Ordering::SeqCst) == 0);
}

/// Sends `piece` again and again, and returns how many bytes the server has taken before it ended the
/// connection, or [`TOO_MUCH`].
fn flood(client: &mut Client, piece: &[u8]) -> usize {
    let pieces = piece.repeat(65_536_usize.div_ceil(piece.len()));
    let mut sent = 0;
    while sent < TOO_MUCH && client.try_send(&pieces).is_ok() {
        sent += pieces.len();
    }
    sent
}

/// The connection is over, for that reason if the server could still say it: what it has not read when
/// it closes makes a reset of the end, which may overtake the reason.
#[track_caller]
fn assert_ended(mut client: Client, reason: u32) {
    let end = client.end();
    assert!(end == End::GoAway(reason) || end == End::Closed, "{end:?}");
    assert!(is_ended(client.socket()));
}

#[test]
fn requests_that_are_reset_at_once_end_the_connection() {
    // CVE-2023-44487.
    in_own_process(|| {
        attack(|addr| {
            let mut client = Client::connect(addr);
            let whole = flag::END_HEADERS | flag::END_STREAM;
            let pairs = (0..20_000).flat_map(|number| {
                let stream = 2 * number + 1;
                let mut pair = frame(kind::HEADERS, whole, stream, &request("/hang"));
                let reset = code::CANCEL.to_be_bytes();
                pair.extend(frame(kind::RST_STREAM, 0, stream, &reset));
                pair
            });
            client.send(&pairs.collect::<Vec<_>>());
            assert_ended(client, code::ENHANCE_YOUR_CALM);
        });
    });
}

#[test]
fn a_request_that_is_reset_while_it_is_answered_is_dropped() {
    in_own_process(|| {
        attack(|addr| {
            let mut client = Client::connect(addr);
            let whole = flag::END_HEADERS | flag::END_STREAM;
            for stream in (1..400).step_by(2) {
                client.send(&frame(kind::HEADERS, whole, stream, &request("/hang")));
                eventually("it is answered", || HANGING.load(Ordering::SeqCst) == 1);
                client.send(&frame(kind::RST_STREAM, 0, stream, &code::CANCEL.to_be_bytes()));
                eventually("it is dropped", || HANGING.load(Ordering::SeqCst) == 0);
            }
            // Nothing is wrong with that.
            assert_eq!(client.get(401, "/"), b"hello");
        });
    });
}

#[test]
fn a_head_without_an_end_ends_the_connection() {
    // CVE-2024-27316: the frames of CONTINUATION are each within the rules.
    in_own_process(|| {
        attack(|addr| {
            let fields = field("x-flood", &"x".repeat(100)).repeat(100);
            for payload in [&fields[..], &[]] {
                let mut client = Client::connect(addr);
                client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &request("/")));
                let sent = flood(&mut client, &frame(kind::CONTINUATION, 0, 1, payload));
                assert!(sent < TOO_MUCH, "the server takes it all");
                assert!(is_ended(client.socket()));
            }
        });
    });
}

#[test]
fn a_small_head_that_unpacks_to_a_large_one_is_refused() {
    in_own_process(|| {
        attack(|addr| {
            let mut client = Client::connect(addr);
            // A field of 4,000 bytes is put into the table, and then named 16,000 times by one byte each:
            // 64 MB. The length of the value is 127 + 3873 in HPACK's form of integers.
            let mut block = request("/hang");
            block.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
            block.extend_from_slice(&[b'y'; 4000]);
            block.extend_from_slice(&[0xbe; 12_000]);
            let whole = flag::END_HEADERS | flag::END_STREAM;
            client.send(&frame(kind::HEADERS, whole, 1, &block));
            // 431, or an end; never an answer from the service, which would hang.
            let refused = loop {
                match client.next_frame() {
                    None => break true,
                    Some(frame) if frame.stream == 1 => break frame.payload.first() != Some(&0x88),
                    Some(frame) if frame.kind == kind::GOAWAY => break true,
                    Some(_) => continue,
                }
            };
            assert!(refused && HANGING.load(Ordering::SeqCst) == 0);
        });
    });
}

#[test]
fn a_client_that_reads_no_answers_to_its_pings_is_held_back() {
    in_own_process(|| {
        attack(|addr| {
            for piece in [frame(kind::PING, 0, 0, &[7; 8]), frame(kind::SETTINGS, 0, 0, &[])] {
                let mut client = Client::connect(addr);
                // It is let go when the server no longer reads. If that comes early, this test sees less.
                let patience = Some(Duration::from_millis(500));
                client.socket().set_write_timeout(patience).expect("a timeout");
                let sent = flood(&mut client, &piece);
                assert!(sent < TOO_MUCH, "the server takes it all");
            }
        });
    });
}

#[test]
fn streams_without_room_hold_no_bodies() {
    in_own_process(|| {
        attack(|addr| {
            let mut client = Client::connect(addr);
            // INITIAL_WINDOW_SIZE of 0: nothing of a body may come.
            client.send(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
            let whole = flag::END_HEADERS | flag::END_STREAM;
            for stream in (1..200).step_by(2) {
                let block = request("/pattern/1000000000");
                client.send(&frame(kind::HEADERS, whole, stream, &block));
            }
            let mut heads = 0;
            while heads < 100 {
                let frame = client.next_frame().expect("the connection goes on");
                assert_ne!(frame.kind, kind::DATA);
                heads += usize::from(frame.kind == kind::HEADERS);
            }
            // What the server had to do about the bodies is done when it answers that.
            client.send(&frame(kind::PING, 0, 0, &[1; 8]));
            while client.next_frame().expect("the connection goes on").kind != kind::PING {}
        });
    });
}

#[test]
fn more_streams_than_allowed_are_refused() {
    in_own_process(|| {
        attack(|addr| {
            const STREAMS: usize = 1000;
            let mut client = Client::connect(addr);
            let whole = flag::END_HEADERS | flag::END_STREAM;
            for number in 0..STREAMS as u32 {
                client.send(&frame(kind::HEADERS, whole, 2 * number + 1, &request("/hang")));
            }
            client.send(&frame(kind::PING, 0, 0, &[1; 8]));
            let mut refused = 0;
            loop {
                let frame = client.next_frame().expect("the connection goes on");
                match frame.kind {
                    kind::RST_STREAM => refused += 1,
                    kind::PING => break,
                    _ => continue,
                }
            }
            let hanging = || HANGING.load(Ordering::SeqCst);
            eventually("all are refused or answered", || hanging() + refused >= STREAMS);
            assert!(hanging() <= 256, "{} at once", hanging());
        });
    });
}
