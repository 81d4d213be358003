//! A peer that keeps a server waiting is cut off: no half request, half message or unread answer is
//! kept for ever, and no client has all of what the others need.

use crate::slow_peers::{self, SHORT, until_the_end};
use crate::support::{Server, command};

/// A program, and what it is started with.
type Started = (&'static str, &'static [&'static str]);

/// The servers of HTTP.
const HTTP: [Started; 3] = [
    ("techempower", &["--api", "handler"]),
    ("techempower", &["--api", "async"]),
    ("download", &[]),
];

/// Starts a server with little patience. Returns it, and what to call it.
fn start((example, own): Started) -> (Server, String) {
    let always = ["--addr", "127.0.0.1:0", "--pollers", "1", "--patience", SHORT];
    (Server::start_with(example, &[&always, own].concat()), format!("{example} {own:?}"))
}

#[test]
fn a_half_request_is_not_kept_for_ever() {
    for started in HTTP {
        let (server, name) = start(started);
        slow_peers::half_requests_are_ended(&name, || server.connect());
    }
}

#[test]
fn a_request_that_drips_is_not_kept_for_ever() {
    for started in HTTP {
        let (server, name) = start(started);
        slow_peers::a_dripping_request_is_ended(&name, server.connect());
    }
}

#[test]
fn a_client_that_goes_on_asking_is_kept() {
    for started in &HTTP[..2] {
        let (server, name) = start(*started);
        slow_peers::a_client_that_goes_on_is_kept(&name, server.connect());
    }
}

/// A client that sends nothing and reads nothing, where there is no request to wait for.
#[test]
fn an_idle_peer_is_not_kept_for_ever() {
    let servers: [Started; 3] =
        [("echo", &["--api", "handler"]), ("echo", &["--api", "async"]), ("reuseport", &[])];
    for started in servers {
        let (server, name) = start(started);
        eprintln!("{name}");
        until_the_end(&server.connect());
    }
}

#[test]
fn a_client_that_reads_nothing_is_not_kept_for_ever() {
    // Echo takes the requests as they are.
    let echo: [Started; 2] = [("echo", &["--api", "handler"]), ("echo", &["--api", "async"])];
    for started in HTTP[..2].iter().chain(&echo) {
        let (server, name) = start(*started);
        let request = "GET /json HTTP/1.1\r\nHost: a\r\n\r\n";
        slow_peers::a_client_that_reads_nothing_is_ended(&name, server.connect(), request);
    }
}

#[test]
fn a_patience_that_is_none_is_named_on_stderr() {
    for example in ["techempower", "download"] {
        for value in ["0", "-1", "long"] {
            let output = command(example)
                .args(["--addr", "127.0.0.1:0", "--patience", value])
                .output()
                .expect("runs");
            assert_eq!(output.status.code(), Some(2), "{example} {value}");
        }
    }
}
