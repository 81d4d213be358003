//! A server, with `openssl s_client`.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, mpsc};

use futures_rustls::TlsAcceptor;
use interop::certificates::Certificates;
use interop::{PATIENCE, Peer, Server, pattern, program};
use rustls::ServerConfig;

use super::{LARGE, echo};

/// How each connection of a server has ended.
type Ends = mpsc::Receiver<io::Result<()>>;

/// A server that echoes, and tells how each connection ends.
fn serve(config: Arc<ServerConfig>) -> (Server, SocketAddr, Ends) {
    let (tell, ends) = mpsc::channel();
    let (server, addr) = Server::of_tasks(move |stream, _| {
        let (acceptor, tell) = (TlsAcceptor::from(config.clone()), tell.clone());
        async move {
            let _ = tell.send(echo(acceptor, stream).await);
        }
    });
    (server, addr, ends)
}

/// Returns s_client, which connects to `addr`, demands a certificate for `localhost` of that authority, and
/// copies until the server ends the connection.
fn s_client(addr: SocketAddr, trusting: &Certificates, arguments: &[&str]) -> Command {
    let mut command = program("openssl");
    command.args(["s_client", "-quiet", "-connect", &addr.to_string()]);
    command.args(["-verify_return_error", "-verify_hostname", "localhost"]);
    command.args(["-servername", "localhost", "-CAfile"]).arg(trusting.authority_file());
    command.args(arguments);
    command
}

/// The bytes that make the server send `body` back.
fn request(body: &[u8]) -> Vec<u8> {
    [format!("{}\n", body.len()).as_bytes(), body].concat()
}

/// A small echo works: the server is there for others.
#[track_caller]
fn serves(addr: SocketAddr, certificates: &Certificates, arguments: &[&str]) {
    let answer = Peer::run(&mut s_client(addr, certificates, arguments), &request(b"hello"));
    assert_eq!(answer.success(), "hello");
}

#[test]
fn s_client_gets_a_large_body_back_by_tls_1_2_and_1_3() {
    let certificates = Certificates::new();
    let (_server, addr, ends) = serve(certificates.server(&[]));
    let body = pattern(LARGE);
    for version in ["-tls1_2", "-tls1_3"] {
        let answer = Peer::run(&mut s_client(addr, &certificates, &[version]), &request(&body));
        assert!(answer.stdout == body, "{version}: {} bytes", answer.stdout.len());
        ends.recv_timeout(PATIENCE).expect("an end").expect("no error");
    }
}

#[test]
fn s_client_and_the_server_agree_on_a_protocol() {
    let certificates = Certificates::new();
    let (_server, addr, _ends) = serve(certificates.server(&["h2", "http/1.1"]));
    // Without -quiet it says what was agreed on, and ends with its input.
    let mut command = program("openssl");
    command.args(["s_client", "-connect", &addr.to_string(), "-alpn", "http/1.1,spdy"]);
    let told = Peer::run(&mut command, b"").text();
    assert!(told.contains("ALPN protocol: http/1.1"), "{told}");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_its_own_error() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (_server, addr, ends) = serve(certificates.server(&[]));
    for version in ["-tls1_2", "-tls1_3"] {
        let refused = Peer::run(&mut s_client(addr, &others, &[version]), b"5\nhello");
        assert!(!refused.status.success(), "{}", refused.text());
        let error = ends.recv_timeout(PATIENCE).expect("an end").expect_err("it is refused");
        assert!(error.to_string().contains("UnknownCA"), "{error}");
        serves(addr, &certificates, &[version]);
        ends.recv_timeout(PATIENCE).expect("an end").expect("no error");
    }
}

#[test]
fn a_client_shows_a_certificate_of_the_right_authority() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let (_server, addr, ends) = serve(certificates.server_that_asks());
    let files = |of: &Certificates| [of.certificate_file(), of.key_file()];
    for version in ["-tls1_2", "-tls1_3"] {
        let none = Peer::run(&mut s_client(addr, &certificates, &[version]), b"5\nhello");
        assert_eq!(none.stdout, b"", "{}", none.text());
        let error = ends.recv_timeout(PATIENCE).expect("an end").expect_err("it is refused");
        assert!(error.to_string().contains("no certificates"), "{error}");

        for (of, trusted) in [(&strangers, false), (&certificates, true)] {
            let [certificate, key] = files(of);
            let mut command = s_client(addr, &certificates, &[version]);
            command.arg("-cert").arg(certificate).arg("-key").arg(key);
            let answer = Peer::run(&mut command, b"5\nhello");
            let end = ends.recv_timeout(PATIENCE).expect("an end");
            assert_eq!(end.is_ok(), trusted, "{end:?}");
            assert_eq!(answer.stdout == b"hello", trusted, "{}", answer.text());
        }
    }
}
