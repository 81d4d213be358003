//! The `proxy` example, by splice and by copying.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::common::{closed_port, eventually, is_ended, patient, reset};
use crate::slow_peers::send_until_held_back;
use crate::support::{Server, more_than_sockets_hold, pattern};

const WAYS: [&[&str]; 2] = [&[], &["--copy"]];

fn start(own: &[&str]) -> Server {
    let arguments = [&["--addr", "127.0.0.1:0", "--pollers", "2"], own].concat();
    Server::start_with("proxy", &arguments)
}

fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("ends without a reset");
    bytes
}

#[test]
fn the_echo_server_of_its_own_is_reached_and_a_late_reader_holds_the_sender_back() {
    for way in WAYS {
        let server = start(way);
        let stream = server.connect();
        // There and back, each by two connections; and the proxy's pipes.
        let message = pattern(more_than_sockets_hold(4));
        let (sending, held_back) = send_until_held_back(&stream, [message.clone()]);
        held_back.recv().expect("the proxy took all, though nothing was read");
        assert!(read_to_end(stream) == message, "{way:?}");
        sending.join().expect("all was sent");
    }
}

#[test]
fn each_direction_ends_by_itself() {
    for way in WAYS {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = upstream.local_addr().expect("an address").to_string();
        let server = start(&[way, &["--upstream", &address]].concat());
        let mut client = server.connect();
        let (mut far, _peer) = upstream.accept().expect("the proxy connects");
        // The far side ends first, having said nothing; then the near one still speaks.
        far.shutdown(Shutdown::Write).expect("ends");
        assert_eq!(client.read(&mut [0]).expect("hears of it"), 0, "{way:?}");
        client.write_all(b"still here").expect("writes");
        client.shutdown(Shutdown::Write).expect("ends");
        let mut heard = String::new();
        far.read_to_string(&mut heard).expect("reads");
        assert_eq!(heard, "still here", "{way:?}");
    }
}

#[test]
fn an_upstream_that_is_down_ends_the_connection() {
    let (down, _guard) = closed_port();
    let server = start(&["--upstream", &down]);
    for _ in 0..3 {
        assert_eq!(read_to_end(server.connect()), b"");
    }
}

#[test]
fn an_upstream_that_does_not_accept_in_time_ends_the_connection() {
    let upstream = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let upstream = upstream.expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    upstream.bind(&any.into()).expect("binds");
    upstream.listen(0).expect("listens");
    let address = upstream.local_addr().expect("an address").as_socket().expect("an IP socket");
    // The queue has room for one, and it is never taken out: further SYNs get no answer.
    let _queued = TcpStream::connect(address).expect("is queued");
    let own = ["--upstream", &address.to_string(), "--connect-timeout", "50"];
    let server = start(&own);
    assert_eq!(read_to_end(server.connect()), b"");
    let counts = "open 0 total 1 refused 1 up 0 down 0";
    assert!((0..10).any(|_| server.next_line() == counts), "{counts}");
}

#[test]
fn a_side_that_breaks_off_ends_the_other_after_what_it_had_sent() {
    for way in WAYS {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = upstream.local_addr().expect("an address").to_string();
        let server = start(&[way, &["--upstream", &address]].concat());
        let at_first = server.descriptors();
        for is_far in [false, true] {
            let near = server.connect();
            let far = patient(upstream.accept().expect("the proxy connects").0);
            let (mut breaks, mut stays) = if is_far { (far, near) } else { (near, far) };
            breaks.write_all(b"last words").expect("writes");
            let mut heard = [0; 10];
            stays.read_exact(&mut heard).expect("hears");
            assert_eq!(&heard, b"last words", "{way:?}");
            reset(breaks);
            assert!(is_ended(&stays), "{way:?}");
            drop(stays);
        }
        eventually("all is closed", || server.descriptors() == at_first);
    }
}

#[test]
fn what_is_open_goes_on_after_the_signal_and_the_statistics_tell_of_it() {
    for way in WAYS {
        let server = start(way);
        let mut stream = server.connect();
        stream.write_all(b"before").expect("writes");
        stream.read_exact(&mut [0; 6]).expect("is echoed");
        let line = server.next_line();
        assert!(line.starts_with("open 1 total 1 refused 0 "), "{way:?}: {line}");
        server.signal("TERM");
        stream.write_all(b"after").expect("writes");
        stream.shutdown(Shutdown::Write).expect("ends");
        assert_eq!(read_to_end(stream), b"after", "{way:?}");
        assert!(server.wait_printing().success());
    }
}

#[test]
fn the_bytes_of_each_way_are_counted() {
    for way in WAYS {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = upstream.local_addr().expect("an address").to_string();
        let answering = thread::spawn(move || {
            let (mut far, _peer) = upstream.accept().expect("the proxy connects");
            far.write_all(&[7; 70_000]).expect("writes");
            far.shutdown(Shutdown::Write).expect("ends");
            assert_eq!(read_to_end(far).len(), 3);
        });
        let server = start(&[way, &["--upstream", &address]].concat());
        let mut client = server.connect();
        client.write_all(b"abc").expect("writes");
        client.shutdown(Shutdown::Write).expect("ends");
        assert_eq!(read_to_end(client).len(), 70_000);
        answering.join().expect("has read all");
        // A line may have been on its way before the end.
        let mut lines = (0..10).map(|_| server.next_line());
        assert!(lines.any(|line| line == "open 0 total 1 refused 0 up 3 down 70000"), "{way:?}");
    }
}

#[test]
fn a_connection_on_which_nothing_moves_is_closed() {
    for way in WAYS {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = upstream.local_addr().expect("an address").to_string();
        let own = ["--upstream", &address, "--idle-timeout", "50"];
        let server = start(&[way, &own].concat());
        let client = server.connect();
        let (far, _peer) = upstream.accept().expect("the proxy connects");
        // It has ended its direction, and the other one never does.
        client.shutdown(Shutdown::Write).expect("ends");
        assert!(is_ended(&client), "{way:?}");
        assert!(is_ended(&patient(far)), "{way:?}");
    }
}
