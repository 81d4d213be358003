//! What all programs have in common: arguments, the announcement, signals, exit status.

use std::io::Read;
use std::net::TcpListener;
use std::process::Output;

use crate::support::{Server, command};

/// The programs, what each needs to start, and the options that it has beside those of all.
const PROGRAMS: [(&str, &[&str], &[&str]); 7] = [
    ("async_http", &[], &["--workers", "--patience"]),
    ("axum_app", &[], &[]),
    ("chat", &[], &["--rate", "--patience"]),
    ("connect_pool", &[], &["--upstream", "--patience"]),
    (
        "gateway",
        &["--upstream", "127.0.0.1:1", "--admin", "127.0.0.1:0"],
        &["--timeout", "--body-size"],
    ),
    ("grpc", &[], &["--ask", "--name", "--times"]),
    ("https", &[], &["--cert", "--key", "--write-cert"]),
];

/// Runs a program that ends by itself.
fn run(example: &str, arguments: &[&str]) -> Output {
    command(example).args(arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn help_goes_to_stdout_and_names_every_option() {
    for (example, _, own) in PROGRAMS {
        let output = run(example, &["--help"]);
        assert_eq!(output.status.code(), Some(0), "{example}");
        for option in [&["--addr", "--pollers", "--help"], own].concat() {
            assert!(text(&output.stdout).contains(option), "{example} {option}");
        }
    }
}

#[test]
fn bad_arguments_are_named_on_stderr_with_exit_status_2() {
    for (example, needs, _) in PROGRAMS {
        for (bad, named) in [(["--pollers", "0"], "--pollers"), (["--addr", "nonsense"], "--addr")]
        {
            let output = run(example, &[needs, &bad[..]].concat());
            assert_eq!(output.status.code(), Some(2), "{example} {bad:?}");
            assert_eq!(text(&output.stdout), "");
            assert!(text(&output.stderr).contains(named), "{}", text(&output.stderr));
        }
    }
}

#[test]
fn an_address_in_use_is_named_on_stderr() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = occupied.local_addr().expect("an address").to_string();
    for (example, needs, _) in PROGRAMS {
        let output = run(example, &[needs, &["--addr", &address]].concat());
        assert_eq!(output.status.code(), Some(1), "{example}");
        assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
    }
}

#[test]
fn both_signals_end_it_although_a_client_says_nothing() {
    for (example, needs, _) in PROGRAMS {
        for signal in ["INT", "TERM"] {
            let server = Server::start(example, needs);
            let mut idle = server.connect();
            server.signal(signal);
            // Closed, or reset where it was not accepted yet.
            let _ = idle.read(&mut [0]);
            assert_eq!(server.wait().0.code(), Some(0), "{example}");
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (example, needs, _) in PROGRAMS {
        let server = Server::start(example, needs);
        let _stays = server.connect();
        server.signal("INT");
        server.signal("TERM");
        assert_eq!(server.wait().0.code(), Some(0), "{example}");
    }
}
