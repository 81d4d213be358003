//! Pollers inside of other loops: the programs end by themselves, having asked and answered.

use crate::support::{Server, command};

/// Runs an example to its end, and gives what it has printed.
fn run(example: &str, arguments: &[&str]) -> String {
    let output = command(example).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn each_answers_its_own_client_and_ends() {
    for example in ["embed_tokio", "embed_calloop"] {
        let text = run(example, &[]);
        assert!(text.starts_with("listening on 127.0.0.1:"), "{text}");
        assert!(text.contains("corepoll answered: request 2"), "{text}");
        assert!(text.contains("the poller has answered 3 requests"), "{text}");
    }
}

#[test]
fn the_number_of_requests_can_be_chosen() {
    for example in ["embed_tokio", "embed_calloop"] {
        assert!(run(example, &["--requests", "40"]).contains("has answered 40 requests"));
    }
}

#[test]
fn each_tells_how_it_is_used() {
    for example in ["embed_tokio", "embed_calloop"] {
        let help = run(example, &["--help"]);
        assert!(help.contains("Usage:") && !help.contains("--pollers"), "{help}");
    }
}

#[test]
fn a_signal_ends_each_in_the_middle() {
    for (example, signal) in [("embed_tokio", "TERM"), ("embed_calloop", "INT")] {
        let server = Server::start_with(example, &["--requests", "1000000"]);
        server.signal(signal);
        assert_eq!(server.wait_printing().code(), Some(0), "{example}");
    }
}
