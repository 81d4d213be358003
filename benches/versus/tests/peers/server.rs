//! A server as a process, and what every server must do.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use versus::peers::Peer;
use versus::protocol::{ANSWER, Flood, Kind};
use versus::sys;

/// How long a server may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// What every answer ends with.
const BODY: &[u8] = b"Hello, World!";

/// A server of two loops, and where it listens.
pub struct Server {
    child: Child,
    name: String,
    addr: String,
}

impl Server {
    /// Starts a peer of this build.
    pub fn of_peer(peer: Peer, protocol: Kind) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_server"))
            .args(["--peer", peer.name(), "--protocol", protocol.name(), "--threads", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addr = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut addr).unwrap();
        Server { child, name: peer.name().to_owned(), addr: addr.trim().to_owned() }
    }

    /// Starts another program by a command that names an address, and waits until it accepts.
    pub fn of_command(name: &str, command: impl Fn(&str) -> Command) -> Server {
        // The port is free until another program takes it.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = command(&addr).spawn().unwrap();
        let mut server = Server { child, name: name.to_owned(), addr };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&server.addr).is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "{name} has ended");
            assert!(Instant::now() < deadline, "{name} does not accept");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Answers a load of pipelined requests.
    pub fn answers_a_load(&self, protocol: Kind) {
        let load = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(["--addr", &self.addr, "--protocol", protocol.name()])
            .args(["--requests", "10001", "--warmup", "100", "--pipeline", "7"])
            .output()
            .unwrap();
        assert!(load.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&load.stderr));
        assert!(load.stdout.starts_with(b"requests 10001 seconds "));
    }

    /// Answers requests that come byte by byte, and a client that has ended its side.
    pub fn answers_requests_cut_at_any_byte(&self) {
        let mut stream = self.connect();
        for byte in b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n" {
            stream.write_all(&[*byte]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).unwrap();
        assert_eq!(answers, ANSWER.repeat(2), "{}", self.name);
    }

    /// Echoes 16 MiB to a client that reads late, and has ended its side by then.
    pub fn echoes_a_stream_larger_than_all_buffers(&self) {
        let bytes: Vec<u8> = (0..16_u32 << 20).map(|at| (at ^ (at >> 11)) as u8).collect();
        let mut stream = self.connect();
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
        assert!(echo == bytes, "{}: {} bytes came back", self.name, echo.len());
    }

    /// Closes the connections that end in one of three ways: the client closes them after the answer, in
    /// the middle of a request, or by a reset.
    pub fn closes_what_its_clients_have_ended(&self) {
        ask(&mut self.connect());
        let mut first = self.connect();
        ask(&mut first);
        let before = self.sockets();
        for number in 0..1000 {
            let mut stream = self.connect();
            match number % 8 {
                0 => stream.write_all(b"GET / HTTP/1.1\r\n").unwrap(),
                1 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
                _ => ask(&mut stream),
            }
        }
        // The last ones may be open still. The server has as many as before, or one less: the
        // connection before the first.
        let deadline = Instant::now() + PATIENCE;
        while self.sockets() > before {
            assert!(Instant::now() < deadline, "{}: {} of {before}", self.name, self.sockets());
            thread::sleep(Duration::from_millis(5));
        }
        ask(&mut first);
    }

    /// Computes for as long as a request says before it answers.
    pub fn computes_as_long_as_a_request_says(&self) {
        let mut stream = self.connect();
        let begin = Instant::now();
        stream.write_all(b"GET /spin/20000 HTTP/1.1\r\nHost: versus\r\n\r\n").unwrap();
        read_answer(&mut stream);
        assert!(begin.elapsed() >= Duration::from_millis(20), "{}", self.name);
        ask(&mut stream);
    }

    /// Serves others beside a flood of each kind, which it echoes or throws away.
    pub fn becomes_a_flood_by_a_request(&self) {
        let bytes: Vec<u8> = (0..3_u32 << 16).map(|at| (at ^ (at >> 11)) as u8).collect();
        for flood in [Flood::Read16, Flood::Echo64k] {
            let mut stream = self.connect();
            ask(&mut stream);
            let request = format!("{}Host: versus\r\n\r\n", flood.request_line());
            stream.write_all(request.as_bytes()).unwrap();
            read_answer(&mut stream);
            let mut sending = stream.try_clone().unwrap();
            let mut echo = Vec::new();
            thread::scope(|scope| {
                scope.spawn(|| {
                    sending.write_all(&bytes).unwrap();
                    ask(&mut self.connect());
                    sending.shutdown(Shutdown::Write).unwrap();
                });
                stream.read_to_end(&mut echo).unwrap();
            });
            let expected = if flood == Flood::Read16 { &[] } else { &bytes[..] };
            assert!(echo == expected, "{}: {} bytes came back", self.name, echo.len());
        }
    }

    /// Ends on SIGTERM, with status 0.
    pub fn ends_on_sigterm(mut self) {
        sys::terminate(self.child.id() as i32).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
    }

    /// Returns how many sockets the server and its children have open. Other descriptors, and second ones
    /// of a socket, are a loop's own, and a loop may begin after the address is announced.
    fn sockets(&self) -> usize {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let ids = children.split_whitespace().map(str::to_owned).chain([id.to_string()]);
        let descriptors = ids.flat_map(|id| fs::read_dir(format!("/proc/{id}/fd")).unwrap());
        // A descriptor may be closed while the folder is read.
        let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let sockets = links.filter(|link| link.to_string_lossy().starts_with("socket:"));
        sockets.collect::<HashSet<_>>().len()
    }
}

impl Drop for Server {
    /// Ends by SIGTERM, so that the server can end its children; a server that is stuck is killed.
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(None) = self.child.try_wait() {
            let _ = sys::terminate(self.child.id() as i32);
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Asks once, and takes the answer.
pub fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: versus\r\n\r\n").unwrap();
    read_answer(stream);
}

fn read_answer(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(BODY) {
        let mut piece = [0; 256];
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the end after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}
