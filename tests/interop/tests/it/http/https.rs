//! HTTP over TLS, by futures-rustls, whose ALPN says the version of HTTP. With curl, nghttp and h2load.

use std::net::SocketAddr;
use std::process::Command;

use corepoll_hyper::FuturesIo;
use futures_rustls::TlsAcceptor;
use hyper::service::service_fn;
use interop::certificates::Certificates;
use interop::{Peer, Server, pattern, program};

use super::answers::answer;
use super::{LARGE, curl, h2load};

/// A server that offers both versions.
fn serve(certificates: &Certificates) -> (Server, SocketAddr) {
    let config = certificates.server(&["h2", "http/1.1"]);
    let server = Server::start(2);
    let listening = server.handle().serve(interop::ANY, move |stream, _| {
        let acceptor = TlsAcceptor::from(config.clone());
        async move {
            stream.set_nodelay(true).expect("it is open");
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let io = FuturesIo::new(stream);
            let _ = corepoll_hyper::Server::new().serve_connection(io, service_fn(answer)).await;
        }
    });
    let addr = listening.expect("a free port").local_addr().expect("an IP socket");
    (server, addr)
}

/// Returns curl, which asks `localhost` at `addr` and trusts that authority alone.
fn secure_curl(addr: SocketAddr, certificates: &Certificates, arguments: &[&str]) -> Command {
    let mut curl = curl(arguments);
    curl.arg("--cacert").arg(certificates.authority_file());
    curl.arg("--resolve").arg(format!("localhost:{}:127.0.0.1", addr.port()));
    curl
}

#[test]
fn curl_and_the_server_agree_on_a_version() {
    let certificates = Certificates::new();
    let (_server, addr) = serve(&certificates);
    let url = |path| format!("https://localhost:{}/{path}", addr.port());
    for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2"), ("--no-alpn", "1.1")] {
        let told = ["-w", "|%{http_code} %{http_version} %{num_connects}\n", version];
        let mut curl = secure_curl(addr, &certificates, &told);
        let told = Peer::run(curl.args([url(""), url("nowhere"), url("")]), b"").success();
        let expected =
            format!("hello|200 {spoken} 1\nno such path|404 {spoken} 0\nhello|200 {spoken} 0\n");
        assert_eq!(told, expected);
    }
}

#[test]
fn curl_gets_a_large_body_back_by_both_versions() {
    let certificates = Certificates::new();
    let (_server, addr) = serve(&certificates);
    let body = pattern(LARGE);
    for version in ["--http1.1", "--http2"] {
        let mut curl = secure_curl(addr, &certificates, &[version, "-X", "POST", "-T", "-"]);
        let curl = curl.arg(format!("https://localhost:{}/echo", addr.port()));
        let answer = Peer::run(curl, &body);
        assert!(answer.stdout == body, "{version}: {} {}", answer.stdout.len(), answer.status);
    }
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_its_own_error() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (_server, addr) = serve(&certificates);
    let url = format!("https://localhost:{}/", addr.port());
    let refused = Peer::run(secure_curl(addr, &others, &[]).arg(&url), b"");
    // CURLE_PEER_FAILED_VERIFICATION
    assert_eq!(refused.status.code(), Some(60), "{}", refused.text());
    let answer = Peer::run(secure_curl(addr, &certificates, &[]).arg(&url), b"");
    assert_eq!(answer.success(), "hello");
}

#[test]
fn nghttp_gets_an_exact_body() {
    let certificates = Certificates::new();
    let (_server, addr) = serve(&certificates);
    let mut nghttp = program("nghttp");
    let answer = Peer::run(nghttp.arg(format!("https://{addr}/pattern/{LARGE}")), b"");
    assert!(answer.stdout == pattern(LARGE), "{} {}", answer.stdout.len(), answer.status);
}

#[test]
fn h2load_gets_five_thousand_answers_by_both_versions() {
    let certificates = Certificates::new();
    let (_server, addr) = serve(&certificates);
    let url = format!("https://{addr}/");
    h2load(&["-n", "5000", "-c", "10", "-m", "16", &url], 5000);
    h2load(&["--h1", "-n", "5000", "-c", "10", &url], 5000);
}
