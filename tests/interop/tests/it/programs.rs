//! The examples of corepoll-hyper as they are run: curl and h2load ask the gateway and the server of
//! HTTPS, and Python serves behind the gateway. Python's grpcio asks the greeter, and the chat is open in two
//! pages of a browser.

use std::net::SocketAddr;
use std::process::Command;

use interop::certificates::Certificates;
use interop::{Folder, Peer, pattern, program, python};

/// A program that listens where it says.
fn start(program: &str, certificates: &Certificates, arguments: &[&str]) -> (Peer, SocketAddr) {
    let mut command = Command::new(program);
    command.args(["--addr", "127.0.0.1:0", "--pollers", "2"]).args(arguments);
    command.arg("--cert").arg(certificates.certificate_file());
    command.arg("--key").arg(certificates.key_file());
    let peer = Peer::start(&mut command).until_prints("listening on ");
    let addr = word_after(&peer.printed(), "listening on ").parse().expect("an address");
    (peer, addr)
}

/// Returns the rest of the line behind `text`.
fn word_after(printed: &str, text: &str) -> String {
    let rest = printed.split(text).nth(1).and_then(|rest| rest.lines().next());
    rest.unwrap_or_else(|| panic!("no {text:?} in {printed:?}")).to_owned()
}

/// Asks `localhost` at `addr` by curl, which trusts that authority alone.
fn curl(addr: SocketAddr, certificates: &Certificates, path: &str, arguments: &[&str]) -> Vec<u8> {
    let mut curl = program("curl");
    curl.args(["-sS", "--noproxy", "*"]).args(arguments);
    curl.arg("--cacert").arg(certificates.authority_file());
    curl.arg("--resolve").arg(format!("localhost:{}:127.0.0.1", addr.port()));
    let finished = Peer::run(curl.arg(format!("https://localhost:{}{path}", addr.port())), b"");
    assert!(finished.status.success(), "{}", finished.text());
    finished.stdout
}

#[test]
fn https_is_asked_by_both_versions_and_ends_gracefully() {
    let certificates = Certificates::new();
    let (peer, addr) = start(env!("CARGO_BIN_EXE_example-https"), &certificates, &[]);
    for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let told = curl(addr, &certificates, "/", &[version, "-w", "|%{http_version}"]);
        let told = String::from_utf8(told).expect("text");
        assert!(told.len() > 4 && told.ends_with(&format!("|{spoken}")), "{told}");
    }
    peer.terminate();
    assert!(peer.finish().status.success());
}

#[test]
fn the_gateway_passes_files_of_python_on() {
    let (certificates, folder) = (Certificates::new(), Folder::new());
    let file = pattern(5_000_000);
    folder.write("small", "hello");
    folder.write("large", &file);
    let mut python = Peer::start(python("http_files.py").arg(folder.path()));
    let upstream = python.port().to_string();

    // A SYN that a busy machine drops is sent anew a second later, and three seconds later.
    let patience = ["--connect-timeout", "30000"];
    let arguments = [&["--upstream", &upstream, "--admin", "127.0.0.1:0"], &patience[..]].concat();
    let (peer, addr) = start(env!("CARGO_BIN_EXE_example-gateway"), &certificates, &arguments);
    for version in ["--http1.1", "--http2"] {
        assert_eq!(curl(addr, &certificates, "/small", &[version]), b"hello");
        assert!(curl(addr, &certificates, "/large", &[version]) == file, "{version}");
        let status =
            curl(addr, &certificates, "/none", &[version, "-o", "/dev/null", "-w", "%{http_code}"]);
        assert_eq!(status, b"404");
    }
    let url = format!("https://localhost:{}/small", addr.port());
    let load = ["-n", "500", "-c", "4", "-m", "8", &url];
    let told = Peer::run(program("h2load").args(load), b"").success();
    assert!(told.contains("500 succeeded, 0 failed, 0 errored, 0 timeout"), "{told}");

    // The log has a line for each, and so do the metrics count.
    let peer = peer.until_prints("metrics on ");
    let metrics = word_after(&peer.printed(), "metrics on ");
    let told = Peer::run(program("curl").args(["-sS", "--noproxy", "*", &metrics]), b"").success();
    assert!(told.contains("gateway_"), "{told}");
    peer.terminate();
    let finished = peer.finish();
    assert!(finished.status.success(), "{}", finished.text());
    let log = finished.text();
    assert_eq!(log.lines().filter(|line| line.contains("/small")).count(), 502, "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("/none")).count(), 2);
}

#[test]
fn the_gateway_says_that_its_upstream_is_down() {
    let certificates = Certificates::new();
    let (down, _guard) = interop::common::closed_port();
    let arguments = ["--upstream", &down, "--admin", "127.0.0.1:0"];
    let (_peer, addr) = start(env!("CARGO_BIN_EXE_example-gateway"), &certificates, &arguments);
    let status = curl(addr, &certificates, "/", &["-o", "/dev/null", "-w", "%{http_code}"]);
    assert_eq!(status, b"502");
}

/// A program without TLS that listens where it says.
fn start_plain(program: &str) -> (Peer, SocketAddr) {
    let mut command = Command::new(program);
    let peer = Peer::start(command.args(["--addr", "127.0.0.1:0", "--pollers", "2"]));
    let peer = peer.until_prints("listening on ");
    let addr = word_after(&peer.printed(), "listening on ").parse().expect("an address");
    (peer, addr)
}

#[test]
fn the_greeter_of_grpc_answers_python() {
    let (peer, addr) = start_plain(env!("CARGO_BIN_EXE_example-grpc"));
    let mut client = python("grpc_greeter.py");
    assert_eq!(Peer::run(client.arg(addr.to_string()), b"").success(), "ok\n");
    peer.terminate();
    assert!(peer.finish().status.success());
}

#[test]
fn two_pages_of_a_browser_chat() {
    let (peer, addr) = start_plain(env!("CARGO_BIN_EXE_example-chat"));
    let folder = Folder::new();
    let mut pages = python("chat_pages.py");
    pages.arg(program("chromium-headless-shell").get_program());
    pages.arg(format!("http://{addr}/")).arg(folder.path());
    assert_eq!(Peer::run(&mut pages, b"").success(), "ok\n");
    peer.terminate();
    assert!(peer.finish().status.success());
}
