//! Peers that keep a server waiting, and one that is held back by it: for the examples of the root
//! and of corepoll-hyper, which include this file.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A patience in milliseconds that is shorter than the tests wait, and longer than a request takes.
pub const SHORT: &str = "300";

/// How long a test goes on before it says that a server would wait for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// All that comes until the server ends the connection; by a reset, perhaps.
pub fn until_the_end(mut stream: &TcpStream) -> String {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("it is kept for ever: {error}"),
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// Half requests of several lengths are ended, and answered where anything was sent.
pub fn half_requests_are_ended(server: &str, connect: impl Fn() -> TcpStream) {
    let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbeginning";
    for half in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", body] {
        eprintln!("{server}: {half:?}");
        let mut stream = connect();
        stream.write_all(half.as_bytes()).expect("writes");
        let answer = until_the_end(&stream);
        let is_said = half.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_said, "{answer}");
    }
}

/// A request that drips is ended: each byte is a sign of life, but the request is no more whole for
/// that.
pub fn a_dripping_request_is_ended(server: &str, mut stream: TcpStream) {
    eprintln!("{server}");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nA: ").expect("writes");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < FOR_EVER, "{server}: it is kept for ever");
        if stream.write_all(b"x").is_err() {
            break;
        }
        match stream.read(&mut [0; 1024]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // An answer, the end, or a reset.
            _ => break,
        }
    }
}

/// A client that is answered again and again is not cut off.
pub fn a_client_that_goes_on_is_kept(server: &str, mut stream: TcpStream) {
    let begun = Instant::now();
    let mut answers = 0;
    // Several times the patience: never cut, as long as the machine lets us ask in time.
    while begun.elapsed() < Duration::from_millis(1500) {
        let asked = Instant::now();
        stream.write_all(b"HEAD /json HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                assert!(asked.elapsed() > Duration::from_millis(200), "{server}: it was cut");
                return;
            }
            head.extend(byte);
        }
        answers += 1;
        thread::yield_now();
    }
    assert!(answers > 1, "{server}");
}

/// A client that sends `request` again and again and reads nothing is ended: the server holds a
/// bounded part of the answers, and not for ever.
pub fn a_client_that_reads_nothing_is_ended(server: &str, mut stream: TcpStream, request: &str) {
    eprintln!("{server}");
    let requests = request.repeat(1000);
    let begun = Instant::now();
    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let mut is_ended = false;
    while !is_ended {
        assert!(begun.elapsed() < FOR_EVER, "{server}: it is kept for ever");
        is_ended = match stream.write(requests.as_bytes()) {
            Ok(_) => false,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
    }
}

/// Sends all of `pieces` and ends the direction, from a thread of its own; and says so when nothing
/// could be written for a while. Where the server is only slow, that is said early, which does no
/// harm; where nothing holds the sender back, the channel just closes.
pub fn send_until_held_back<Piece: AsRef<[u8]>>(
    stream: &TcpStream,
    pieces: impl IntoIterator<Item = Piece> + Send + 'static,
) -> (thread::JoinHandle<()>, mpsc::Receiver<()>) {
    let (notice, held_back) = mpsc::sync_channel(1);
    let mut stream = stream.try_clone().expect("a clone");
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let sending = thread::spawn(move || {
        for piece in pieces {
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                match stream.write(rest) {
                    Ok(length) => rest = &rest[length..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let _ = notice.try_send(());
                    }
                    Err(error) => panic!("is read: {error}"),
                }
            }
        }
        stream.shutdown(Shutdown::Write).expect("ends");
    });
    (sending, held_back)
}
