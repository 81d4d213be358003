//! A server of HTTP/1, with curl, nc and h2load.

use interop::{Peer, pattern, program};

use super::{LARGE, curl, h2load, serve};

#[test]
fn curl_gets_answers_on_one_connection() {
    let (_server, addr) = serve();
    let mut curl = curl(&["--http1.1", "-w", "|%{http_code} %{http_version} %{num_connects}\n"]);
    for path in ["", "nowhere", "pattern/0", ""] {
        curl.arg(format!("http://{addr}/{path}"));
    }
    let told = Peer::run(&mut curl, b"").success();
    let expected = "hello|200 1.1 1\nno such path|404 1.1 0\n|200 1.1 0\nhello|200 1.1 0\n";
    assert_eq!(told, expected);
}

#[test]
fn curl_gets_a_large_body_back() {
    let (_server, addr) = serve();
    let body = pattern(LARGE);
    // From its standard input: in chunks. An answer of 100 is awaited before the first.
    let mut curl = curl(&["--http1.1", "-X", "POST", "-T", "-", "-H", "Expect: 100-continue"]);
    let answer = Peer::run(curl.arg(format!("http://{addr}/echo")), &body);
    assert!(answer.stdout == body, "{} {}", answer.stdout.len(), answer.status);
}

#[test]
fn curl_sends_a_body_of_a_known_length() {
    let (_server, addr) = serve();
    let mut curl = curl(&["--http1.1", "--data-binary", "@-"]);
    let answer = Peer::run(curl.arg(format!("http://{addr}/check")), &pattern(LARGE));
    assert_eq!(answer.success(), LARGE.to_string());
}

#[test]
fn nc_gets_pipelined_answers_in_order() {
    let (_server, addr) = serve();
    let head = "HTTP/1.1\r\nHost: localhost\r\n";
    let requests = format!(
        "GET / {head}\r\nPOST /echo {head}Content-Length: 4\r\n\r\necho\
         GET /nowhere {head}\r\nGET / {head}Connection: close\r\n\r\n"
    );
    let mut nc = program("nc");
    nc.args([addr.ip().to_string(), addr.port().to_string()]);
    let told = Peer::run(&mut nc, requests.as_bytes()).success();
    let bodies: Vec<_> = ["\r\n\r\nhello", "\r\n\r\necho", "\r\n\r\nno such path"]
        .iter()
        .map(|body| told.find(body).unwrap_or_else(|| panic!("{body:?} in {told}")))
        .collect();
    assert!(bodies.is_sorted(), "{told}");
    assert!(told.ends_with("\r\n\r\nhello"), "{told}");
    assert_eq!(told.matches("HTTP/1.1 ").count(), 4, "{told}");
}

#[test]
fn nc_speaks_http_1_0() {
    let (_server, addr) = serve();
    let mut nc = program("nc");
    nc.args([addr.ip().to_string(), addr.port().to_string()]);
    let told = Peer::run(&mut nc, b"GET / HTTP/1.0\r\n\r\n").success();
    assert!(told.starts_with("HTTP/1.0 200 OK\r\n") && told.ends_with("hello"), "{told}");
}

#[test]
fn h2load_gets_twenty_thousand_answers() {
    let (_server, addr) = serve();
    h2load(&["--h1", "-n", "20000", "-c", "50", &format!("http://{addr}/")], 20_000);
}
