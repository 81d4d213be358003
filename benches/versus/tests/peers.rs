//! Every server of this build does the work by which it is measured.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use versus::peers::Peer;
use versus::protocol::{ANSWER, Kind};
use versus::sys;

/// A server of two loops, and where it listens.
struct Server {
    child: Child,
    addr: String,
}

impl Server {
    fn start(peer: Peer, protocol: Kind) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_server"))
            .args(["--peer", peer.name(), "--protocol", protocol.name(), "--threads", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addr = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut addr).unwrap();
        Server { child, addr: addr.trim().to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn load(&self, protocol: Kind) {
        let load = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(["--addr", &self.addr, "--protocol", protocol.name()])
            .args(["--requests", "10001", "--warmup", "100", "--pipeline", "7"])
            .output()
            .unwrap();
        assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
        assert!(load.stdout.starts_with(b"requests 10001 seconds "));
    }

    /// Returns how many sockets the server has open. Other descriptors, and second ones of a socket,
    /// are a loop's own, and a loop may begin after the address is announced.
    fn sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        // A descriptor may be closed while the folder is read.
        let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let sockets = links.filter(|link| link.to_string_lossy().starts_with("socket:"));
        sockets.collect::<HashSet<_>>().len()
    }

    fn stop(mut self) {
        sys::terminate(self.child.id() as i32).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_peer_answers_a_load_and_ends_on_sigterm() {
    for &peer in Peer::ALL {
        for protocol in [Kind::Plaintext, Kind::Echo] {
            let server = Server::start(peer, protocol);
            let idle = server.connect();
            server.load(protocol);
            server.stop();
            drop(idle);
        }
    }
}

#[test]
fn every_peer_answers_requests_cut_at_any_byte() {
    for &peer in Peer::ALL {
        let server = Server::start(peer, Kind::Plaintext);
        let mut stream = server.connect();
        for byte in b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n" {
            stream.write_all(&[*byte]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).unwrap();
        assert_eq!(answers, ANSWER.repeat(2), "{}", peer.name());
        server.stop();
    }
}

#[test]
fn every_peer_echoes_a_stream_larger_than_all_buffers() {
    let bytes: Vec<u8> = (0..16_u32 << 20).map(|at| (at ^ (at >> 11)) as u8).collect();
    for &peer in Peer::ALL {
        let server = Server::start(peer, Kind::Echo);
        let mut stream = server.connect();
        let mut sending = stream.try_clone().unwrap();
        let mut echo = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                sending.write_all(&bytes).unwrap();
                sending.shutdown(Shutdown::Write).unwrap();
            });
            // The sender runs into a full socket first, and the server too.
            thread::sleep(Duration::from_millis(100));
            stream.read_to_end(&mut echo).unwrap();
        });
        assert!(echo == bytes, "{}: {} bytes came back", peer.name(), echo.len());
        server.stop();
    }
}

/// A connection ends in one of three ways: the client closes it after the answer, in the middle of a
/// request, or by a reset.
#[test]
fn every_peer_closes_what_its_clients_have_ended() {
    for &peer in Peer::ALL {
        let server = Server::start(peer, Kind::Plaintext);
        ask(&mut server.connect());
        let mut first = server.connect();
        ask(&mut first);
        let before = server.sockets();
        for number in 0..1000 {
            let mut stream = server.connect();
            match number % 8 {
                0 => stream.write_all(b"GET / HTTP/1.1\r\n").unwrap(),
                1 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
                _ => ask(&mut stream),
            }
        }
        // The last ones may be open still. The server has as many as before, or one less: the
        // connection before the first.
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.sockets() > before {
            assert!(Instant::now() < deadline, "{}: {}", peer.name(), server.sockets());
            thread::sleep(Duration::from_millis(5));
        }
        ask(&mut first);
        server.stop();
    }
}

#[test]
fn every_peer_computes_as_long_as_a_request_says() {
    for &peer in Peer::ALL {
        let server = Server::start(peer, Kind::Plaintext);
        let mut stream = server.connect();
        let begin = Instant::now();
        stream.write_all(b"GET /spin/20000 HTTP/1.1\r\nHost: versus\r\n\r\n").unwrap();
        read_answer(&mut stream);
        assert!(begin.elapsed() >= Duration::from_millis(20), "{}", peer.name());
        ask(&mut stream);
        server.stop();
    }
}

#[cfg(feature = "glommio")]
#[test]
fn a_peer_that_needs_more_locked_memory_says_so_and_ends() {
    let server = Command::new("sh")
        .args(["-c", "ulimit -l 64; exec \"$0\" --peer glommio --threads 2"])
        .arg(env!("CARGO_BIN_EXE_server"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&server.stderr);
    assert!(!server.status.success() && server.stdout.is_empty(), "{said}");
    assert!(said.contains("MemLock") && said.contains("io_uring"), "{said}");
}

/// Asks once, and takes the answer.
fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: versus\r\n\r\n").unwrap();
    read_answer(stream);
}

fn read_answer(stream: &mut TcpStream) {
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *ANSWER);
}
