//! Every server of the ecosystem answers an exact number of requests, on either runtime.

#![cfg(feature = "ecosystem")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use versus::ecosystem::{Kind, Runtime, tls};
use versus::sys;

struct Server {
    child: Child,
    addr: String,
}

impl Server {
    fn start(kind: Kind, runtime: Runtime) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_versus"))
            .args(["web", "--kind", kind.name(), "--runtime", runtime.name()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addr = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut addr).unwrap();
        Server { child, addr: addr.trim().to_owned() }
    }

    fn load(&self, role: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_versus"))
            .arg(role)
            .args(["--addr", &self.addr, "--requests", "1001", "--warmup", "100"])
            .output()
            .unwrap()
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
fn every_server_of_http_answers_its_load_and_ends_on_sigterm() {
    for kind in [Kind::H1, Kind::H1Timer, Kind::H1Served, Kind::Axum, Kind::H2] {
        for &runtime in Runtime::ALL {
            let server = Server::start(kind, runtime);
            let load = server.load(if kind == Kind::H2 { "h2-load" } else { "load" });
            let error = String::from_utf8_lossy(&load.stderr);
            assert!(load.status.success(), "{} {}: {error}", kind.name(), runtime.name());
            assert!(load.stdout.starts_with(b"requests 1001 seconds "));
            server.stop();
        }
    }
}

#[test]
fn every_server_of_tls_echoes_and_ends_on_sigterm() {
    let mut roots = RootCertStore::empty();
    roots.add(tls::certificate().unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let config = Arc::new(config);
    for kind in [Kind::Tls, Kind::TlsHandler] {
        for &runtime in Runtime::ALL {
            let server = Server::start(kind, runtime);
            let name = ServerName::try_from(tls::NAME).unwrap();
            let mut session = ClientConnection::new(config.clone(), name).unwrap();
            let mut socket = TcpStream::connect(&server.addr).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut stream = rustls::Stream::new(&mut session, &mut socket);
            for message in [&b"one"[..], &[b'x'; 64], &[b'y'; 5000]] {
                stream.write_all(message).unwrap();
                let mut echo = vec![0; message.len()];
                stream.read_exact(&mut echo).unwrap();
                assert!(echo == message, "{} {}", kind.name(), runtime.name());
            }
            server.stop();
        }
    }
}

#[test]
fn every_http_1_server_says_the_same() {
    let answer = |kind, runtime| {
        let server = Server::start(kind, runtime);
        let mut stream = TcpStream::connect(&server.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request = "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        server.stop();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nHello, World!"), "{answer}");
        // axum has the headers in another order.
        let lines = answer.lines().filter(|line| !line.starts_with("date: "));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let first = answer(Kind::H1, Runtime::Tokio);
    for kind in [Kind::H1, Kind::H1Timer, Kind::H1Served, Kind::Axum] {
        for &runtime in Runtime::ALL {
            assert_eq!(answer(kind, runtime), first, "{} {}", kind.name(), runtime.name());
        }
    }
}

#[test]
fn a_load_fails_at_a_server_that_speaks_something_else() {
    let server = Server::start(Kind::H1, Runtime::Tokio);
    assert!(!server.load("h2-load").status.success());
    server.stop();
}
