//! Every server of this build does the work by which it is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

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
