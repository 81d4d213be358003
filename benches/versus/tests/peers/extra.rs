//! The servers of `extra/` that need no library: built where the machine has the compiler, and nginx
//! where it is installed. A test says so if it has nothing to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use versus::protocol::Kind;

use super::server::{Server, ask};

#[test]
fn the_reactor_in_cpp_does_the_work() {
    let source = extra().join("reactor.cpp");
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O2", "-pthread", "-o"]);
    if let Some(program) = build(compiler, "reactor", &[source]) {
        does_the_work("reactor", |addr, protocol| {
            let (ip, port) = addr.split_once(':').unwrap();
            let mut command = Command::new(&program);
            command.args([ip, port, "2", protocol.name()]);
            command
        });
    }
}

#[test]
fn the_server_by_the_net_package_of_go_does_the_work() {
    let sources = ["go/net.go", "go/protocol.go"].map(|file| extra().join(file));
    let mut compiler = Command::new("go");
    compiler.env("CGO_ENABLED", "0").args(["build", "-o"]);
    if let Some(program) = build(compiler, "go-net", &sources) {
        does_the_work("go-net", |addr, protocol| {
            let mut command = Command::new(&program);
            command.args([addr, "2", protocol.name()]);
            command
        });
    }
}

#[test]
fn nginx_answers_by_its_configuration() {
    if Command::new("nginx").arg("-v").output().is_err() {
        return eprintln!("no nginx here");
    }
    let server = Server::of_command("nginx", |addr| {
        let mut command = Command::new(extra().join("nginx.sh"));
        command.args([addr, "2"]);
        command
    });
    ask(&mut server.connect());
    server.answers_a_load(Kind::Plaintext);
    server.closes_what_its_clients_have_ended();
    server.ends_on_sigterm();
}

fn extra() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("extra")
}

/// Returns the program that a compiler has made; None if there is no such compiler.
fn build(mut compiler: Command, name: &str, sources: &[PathBuf]) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let Ok(output) = compiler.arg(&program).args(sources).output() else {
        eprintln!("no {:?} here", compiler.get_program());
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

fn does_the_work(name: &str, command: impl Fn(&str, Kind) -> Command) {
    let start = |protocol| Server::of_command(name, |addr| command(addr, protocol));
    let server = start(Kind::Plaintext);
    server.answers_a_load(Kind::Plaintext);
    server.answers_requests_cut_at_any_byte();
    server.closes_what_its_clients_have_ended();
    server.computes_as_long_as_a_request_says();
    let server = start(Kind::Echo);
    server.answers_a_load(Kind::Echo);
    server.echoes_a_stream_larger_than_all_buffers();
    start(Kind::Mixed).becomes_a_flood_by_a_request();
}
