//! A server of HTTP/2 whose clients know that it is one, with curl, nghttp and h2load.

use interop::{Peer, pattern, program};

use super::{LARGE, curl, h2load, serve};

#[test]
fn curl_gets_answers() {
    let (_server, addr) = serve();
    // One in each connection: a second one is an error of curl 7.88, whatever server it talks to.
    for (path, expected) in [("", "hello|200 2"), ("nowhere", "no such path|404 2")] {
        let mut curl = curl(&["--http2-prior-knowledge", "-w", "|%{http_code} %{http_version}"]);
        let told = Peer::run(curl.arg(format!("http://{addr}/{path}")), b"").success();
        assert_eq!(told, expected);
    }
}

#[test]
fn curl_gets_a_large_body_back() {
    let (_server, addr) = serve();
    let body = pattern(LARGE);
    let mut curl = curl(&["--http2-prior-knowledge", "-X", "POST", "-T", "-"]);
    let answer = Peer::run(curl.arg(format!("http://{addr}/echo")), &body);
    assert!(answer.stdout == body, "{} {}", answer.stdout.len(), answer.status);
}

#[test]
fn nghttp_gets_many_bodies_at_once() {
    let (_server, addr) = serve();
    let mut nghttp = program("nghttp");
    // Each of 20 streams gets as much: the bodies come interleaved, and the statistics count them.
    nghttp.args(["-ns", "-m", "20", &format!("http://{addr}/pattern/1000003")]);
    let told = Peer::run(&mut nghttp, b"").success();
    let sizes = told.lines().filter(|line| line.contains(" 200 ") && line.contains("976K"));
    assert_eq!(sizes.count(), 20, "{told}");
}

#[test]
fn nghttp_gets_an_exact_body() {
    let (_server, addr) = serve();
    let mut nghttp = program("nghttp");
    let answer = Peer::run(nghttp.arg(format!("http://{addr}/pattern/{LARGE}")), b"");
    assert!(answer.stdout == pattern(LARGE), "{} {}", answer.stdout.len(), answer.status);
}

#[test]
fn h2load_gets_twenty_thousand_answers() {
    let (_server, addr) = serve();
    h2load(&["-n", "20000", "-c", "10", "-m", "32", &format!("http://{addr}/")], 20_000);
}
