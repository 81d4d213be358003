//! `versus scale`, by 200 connections: it finds what connections take, of each server that it is asked for.

use std::process::Command;

/// Runs it, and returns its standard output.
fn scale(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_versus"));
    let output = command.arg("scale").args(words).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn each_server_has_a_row_of_figures() {
    let text = scale(&["--connections", "200", "--peers", "bare,tokio"]);
    for peer in ["bare", "tokio"] {
        let row = text.lines().find(|line| line.starts_with(peer)).expect("a row");
        let figures: Vec<&str> = row.split_whitespace().skip(1).collect();
        assert_eq!(figures.len(), 8, "{row}");
        for (at, figure) in figures.iter().enumerate() {
            // A machine without cgroups doesn't tell what the kernel has charged.
            let is_known = figure.parse::<f64>().is_ok() || (at == 1 && *figure == "unknown");
            assert!(is_known, "{row}");
        }
        let requests: Vec<f64> = figures[6..].iter().flat_map(|figure| figure.parse()).collect();
        assert!(0.0 < requests[0] && requests[0] <= requests[1], "{row}");
    }
}

#[test]
fn a_time_that_is_over_ends_the_opening_and_is_said() {
    let text = scale(&["--connections", "200", "--peers", "bare", "--seconds", "0"]);
    assert!(text.contains("bare, 29 in 0 s"), "{text}");
}
