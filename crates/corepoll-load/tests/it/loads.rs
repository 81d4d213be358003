//! What the program reports is what the servers have seen.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::server::Server;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

pub fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corepoll-load"));
    command.args(arguments).args(["--quiet"]).output().expect("the program runs")
}

/// Loads `target`, and returns the results.
pub fn load(target: &str, arguments: &[&str]) -> Value {
    let output = program(&[&[target, "--json", "--pollers", "2"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    serde_json::from_str(&text).expect("JSON")
}

pub fn number(results: &Value, name: &str) -> u64 {
    results[name].as_u64().unwrap_or_else(|| panic!("no {name} in {results:#}"))
}

pub fn errors(results: &Value) -> Vec<&str> {
    results["errors"].as_object().expect("a map").keys().map(String::as_str).collect()
}

#[test]
fn each_answer_is_counted_once() {
    let server = Server::http(|_| Some(HELLO));
    let target = format!("http://{}/", server.address);
    let results = load(&target, &["-c", "5", "-d", "300ms"]);
    let (answered, seen) = (number(&results, "requests"), server.counts.requests.load(SeqCst));
    assert!(answered > 0);
    assert_eq!(answered, seen);
    assert_eq!(number(&results, "sent"), seen);
    assert_eq!(server.counts.connections.load(SeqCst), 5);
    assert_eq!(number(&results, "connected"), 5);
    assert_eq!(errors(&results), [""; 0]);
    assert!(number(&results["latency_ns"]["percentiles"], "p50") > 0);
    assert_eq!(number(&results, "received_bytes") / answered, HELLO.len() as u64);
}

#[test]
fn requests_are_pipelined() {
    let server = Server::http(|_| Some(HELLO));
    let target = format!("http://{}/", server.address);
    let results = load(&target, &["-c", "2", "-d", "300ms", "--pipeline", "16"]);
    let (answered, seen) = (number(&results, "requests"), server.counts.requests.load(SeqCst));
    assert_eq!(answered, seen);
    assert_eq!(errors(&results), [""; 0]);
}

#[test]
fn an_echo_server_is_loaded() {
    let server = Server::echo();
    let results =
        load(&format!("tcp://{}", server.address), &["-c", "3", "-d", "200ms", "--size", "9000"]);
    assert!(number(&results, "requests") > 0);
    assert_eq!(errors(&results), [""; 0]);
    let received = number(&results, "received_bytes");
    let answered = number(&results, "requests");
    assert_eq!(received, 9000 * answered);
}

#[test]
fn churn_makes_a_connection_for_each_request() {
    let http = Server::http(|_| {
        Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    });
    let echo = Server::echo();
    for (target, server) in
        [(format!("http://{}", http.address), &http), (format!("tcp://{}", echo.address), &echo)]
    {
        let results = load(&target, &["-c", "4", "-d", "300ms", "--mode", "churn"]);
        let (answered, connected) = (number(&results, "requests"), number(&results, "connected"));
        assert!(answered > 4, "{results:#}");
        // A connection may have been made at the end, when it was too late for its request.
        assert!((answered..=answered + 4).contains(&connected), "{results:#}");
        assert_eq!(errors(&results), [""; 0]);
        assert!(server.counts.requests.load(SeqCst) >= answered);
    }
}

#[test]
fn idle_connections_are_held() {
    let server = Server::http(|_| Some(HELLO));
    let results =
        load(&format!("http://{}", server.address), &["-c", "50", "-d", "200ms", "--mode", "idle"]);
    assert_eq!(number(&results, "connected"), 50);
    assert_eq!(number(&results, "requests"), 50);
    assert_eq!(server.counts.requests.load(SeqCst), 50);
    assert_eq!(errors(&results), [""; 0]);
}

#[test]
fn a_constant_rate_is_kept_and_no_more_is_sent() {
    let server = Server::http(|_| Some(HELLO));
    let results =
        load(&format!("http://{}", server.address), &["-c", "4", "-d", "1s", "--rate", "200"]);
    // However slow the machine is, no more are sent than the schedule has, and what is missing is told.
    let late = results["errors"]["not sent in time"].as_u64().unwrap_or(0);
    assert_eq!(number(&results, "requests") + late, 200, "{results:#}");
    assert_eq!(server.counts.requests.load(SeqCst), 200 - late);
}

/// The server answers nothing for a while, and then all. What was to be sent in that time counts from when
/// it was to be sent.
#[test]
fn a_server_that_stalls_can_not_hide_it() {
    let server = Server::http(|number| {
        if number == 10 {
            thread::sleep(Duration::from_millis(800));
        }
        Some(HELLO)
    });
    let target = format!("http://{}", server.address);
    let results = load(&target, &["-c", "1", "-d", "900ms", "--rate", "1000"]);
    let percentiles = &results["latency_ns"]["percentiles"];
    assert!(number(percentiles, "max") >= 800_000_000, "{results:#}");
    let late = results["errors"]["not sent in time"].as_u64().unwrap_or(0);
    assert_eq!(number(&results, "requests") + late, 900, "{results:#}");
    // Those that were sent behind it, though the server answered them at once; most were late for it.
    assert!(late > 0 || number(percentiles, "p50") >= 300_000_000, "{results:#}");
}

#[test]
fn errors_are_told_by_kind() {
    let server = Server::http(|number| match number % 3 {
        0 => Some("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        1 => Some(HELLO),
        _ => None,
    });
    let results = load(&format!("http://{}", server.address), &["-c", "2", "-d", "300ms"]);
    assert_eq!(errors(&results), ["closed before the answer", "status 503"]);

    let silent = Server::http(|_| {
        loop {
            thread::park()
        }
    });
    let target = format!("http://{}", silent.address);
    let output = program(&[&target, "--json", "-c", "1", "-d", "500ms", "--timeout", "50ms"]);
    assert!(!output.status.success(), "nothing was answered");
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(errors(&results), ["timeout"]);

    let other = Server::http(|_| Some("SSH-2.0-OpenSSH\r\n"));
    let output = program(&[&format!("http://{}", other.address), "-c", "1", "-d", "100ms"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("connection: invalid data"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    // Bound, and never listening.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let output = program(&[&format!("http://{address}"), "-c", "2", "-d", "10s"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&address.to_string()) && text.contains("refused"), "{text}");
    assert!(!program(&["ftp://127.0.0.1:1"]).status.success());
}

#[test]
fn the_summary_and_the_picture_have_the_percentiles() {
    let server = Server::http(|_| Some(HELLO));
    let picture = std::env::temp_dir().join(format!("corepoll-load-{}.svg", std::process::id()));
    let target = format!("http://{}/", server.address);
    let path = picture.to_str().expect("text");
    let output = program(&[&target, "-c", "2", "-d", "200ms", "--svg", path]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["requests", "99.99 %", "100 %", "own CPU", "errors       0"] {
        assert!(text.contains(name), "{name} in\n{text}");
    }
    let drawn = std::fs::read_to_string(&picture).expect("it is written");
    std::fs::remove_file(&picture).expect("it is there");
    assert!(drawn.contains(&target) && drawn.contains("99 %"), "{drawn}");
}

#[test]
fn a_load_ends_with_its_last_request() {
    for mode in ["http", "churn"] {
        let server = Server::http(|_| Some(HELLO));
        let target = format!("http://{}/", server.address);
        let words = ["-c", "3", "-d", "1h", "--pipeline", "2", "--requests", "1001", "--mode"];
        let results = load(&target, &[&words[..], &[mode]].concat());
        assert_eq!(number(&results, "requests"), 1001);
        assert_eq!(server.counts.requests.load(SeqCst), 1001);
        assert_eq!(errors(&results), [""; 0]);
    }
}

#[test]
fn a_load_that_waits_has_its_connections_and_begins_at_a_line() {
    let server = Server::http(|_| Some(HELLO));
    let target = format!("http://{}/", server.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_corepoll-load"));
    command.args([&target, "--wait", "--quiet", "--json", "-c", "3", "--requests", "10"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut load = command.spawn().expect("the program runs");
    let mut line = String::new();
    let errors = load.stderr.as_mut().expect("it is piped");
    BufReader::new(errors).read_line(&mut line).expect("it says something");
    assert_eq!(line, "ready\n");
    // A connection may be in the backlog still; no request has been sent.
    assert_eq!(server.counts.requests.load(SeqCst), 0);
    load.stdin.as_mut().expect("it is piped").write_all(b"\n").expect("it listens");
    let output = load.wait_with_output().expect("it ends");
    let results: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((number(&results, "requests"), number(&results, "connected")), (10, 3));
    assert_eq!(server.counts.connections.load(SeqCst), 3);
}
