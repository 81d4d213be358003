//! What all example programs have in common: arguments, the announcement, signals, exit status.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use crate::support::{APIS, Server, command};

/// The programs that serve by either API.
const EXAMPLES: [&str; 2] = ["techempower", "echo"];

/// The programs that serve by one API, and the options that each has beside those of all.
const FURTHER: [(&str, &[&str]); 3] = [
    ("download", &["--file", "--speed", "--sendfile", "--patience"]),
    ("proxy", &["--upstream", "--connect-timeout", "--copy"]),
    ("reuseport", &["--balance"]),
];

/// Runs a program that ends by itself.
fn run(example: &str, arguments: &[&str]) -> Output {
    command(example).args(arguments).output().expect("runs")
}

/// What it printed to one of its outputs.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A connection that has been served: one that still waits to be accepted is reset at the end.
/// Both programs answer this request, each in its way.
fn connect_and_ask(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    let request = b"HEAD /plaintext HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answers");
        answer.extend(byte);
    }
    stream
}

#[test]
fn help_goes_to_stdout_and_names_every_option() {
    for example in EXAMPLES {
        for option in ["--help", "-h"] {
            let output = run(example, &["--pollers", "1", option, "--nonsense"]);
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(text(&output.stderr), "");
            for named in [example, "--addr", "--pollers", "--api", "--help"] {
                assert!(text(&output.stdout).contains(named), "{named}");
            }
        }
    }
}

#[test]
fn bad_arguments_are_named_on_stderr_with_exit_status_2() {
    for example in EXAMPLES {
        for (arguments, named) in [
            (&["--pollers", "0"][..], &["--pollers", "'0'"][..]),
            (&["--pollers", "many"], &["--pollers", "'many'"]),
            (&["--api", "threads"], &["--api", "'threads'"]),
            (&["--addr", "nonsense"], &["--addr", "'nonsense'"]),
            (&["--addr", "127.0.0.1:65536"], &["--addr", "'127.0.0.1:65536'"]),
            (&["--addr"], &["--addr"]),
            (&["--nonsense"], &["'--nonsense'"]),
            (&["nonsense"], &["'nonsense'"]),
        ] {
            let output = run(example, arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            assert_eq!(text(&output.stdout), "");
            let message = text(&output.stderr);
            assert!(named.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}

#[test]
fn an_address_in_use_is_named_on_stderr() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = occupied.local_addr().expect("an address").to_string();
    for example in EXAMPLES {
        for api in APIS {
            let output = run(example, &["--addr", &address, "--api", api]);
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
        }
    }
}

#[test]
fn both_signals_end_it_with_exit_status_0_and_close_idle_connections() {
    for example in EXAMPLES {
        for (api, signal) in [("handler", "TERM"), ("async", "INT"), ("async", "TERM")] {
            let server = Server::start(example, api);
            let mut idle = connect_and_ask(&server);
            server.signal(signal);
            assert_eq!(idle.read(&mut [0]).expect("ends without a reset"), 0);
            drop(idle);
            assert_eq!(server.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_signal_right_after_the_announcement_is_not_lost() {
    for example in EXAMPLES {
        for _ in 0..20 {
            let server = Server::start(example, "handler");
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_second_signal_ends_it_although_a_peer_stays() {
    for example in EXAMPLES {
        for api in APIS {
            let server = Server::start(example, api);
            let _stays = connect_and_ask(&server);
            server.signal("INT");
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0));
        }
    }
}

#[test]
fn an_ipv6_address_is_announced_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        return; // a machine without IPv6
    }
    let server = Server::start_with("echo", &["--addr=[::1]:0", "--pollers=1"]);
    assert!(server.address().is_ipv6());
    assert_ne!(server.address().port(), 0);
    server.connect();
}

#[test]
fn the_default_address_is_this_machine_only() {
    // Another program may hold the port: then the error names the address.
    let mut child = command("echo")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut printed = [0; 64];
    let length = child.stdout.take().expect("piped").read(&mut printed).expect("prints");
    let _ = child.kill();
    let output = child.wait_with_output().expect("ends");
    let message = text(&printed[..length]).to_owned() + text(&output.stderr);
    assert!(message.contains("127.0.0.1:8080"), "{message}");
}

#[test]
fn further_programs_name_their_own_options() {
    for (example, own) in FURTHER {
        let output = run(example, &["--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for option in [&["--addr", "--pollers", "--help"], own].concat() {
            assert!(help.contains(option), "{help}");
        }
        assert!(!help.contains("--api"), "{help}");
    }
}

#[test]
fn further_programs_need_no_arguments_but_a_port_that_is_free_and_end_by_either_signal() {
    for (example, _own) in FURTHER {
        for signal in ["INT", "TERM"] {
            let server = Server::start_with(example, &["--addr", "127.0.0.1:0"]);
            // Nothing is served yet when the signal comes, or one connection that says nothing.
            let idle = server.connect();
            server.signal(signal);
            drop(idle);
            assert_eq!(server.wait_printing().code(), Some(0), "{example}");
        }
    }
}

#[test]
fn options_of_a_program_that_make_no_sense_are_named_on_stderr() {
    for (example, option, value) in [
        ("embed_calloop", "--requests", "-1"),
        ("embed_tokio", "--requests", "many"),
        ("download", "--speed", "much"),
        ("download", "--file", "/nonexistent"),
        ("proxy", "--upstream", "nonsense"),
        ("proxy", "--connect-timeout", "-1"),
        ("reuseport", "--balance", "nonsense"),
    ] {
        let output = run(example, &["--addr", "127.0.0.1:0", option, value]);
        assert_eq!(output.status.code(), Some(2), "{example}");
        assert_eq!(text(&output.stdout), "", "{example}");
        let message = text(&output.stderr);
        assert!(message.contains(option) && message.contains(value), "{message}");
    }
}
