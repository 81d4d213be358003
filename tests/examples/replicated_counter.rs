//! The `replicated_counter` example: a seed finds the planted fault, and replays it.

use std::fs;

use crate::support::command;

/// Runs the example with these arguments to its end, and returns what it prints.
fn run(arguments: &[&str]) -> String {
    let output = command("replicated_counter").args(arguments).output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("prints text")
}

#[test]
fn a_seed_finds_the_planted_fault_and_replays_it() {
    let picture = std::env::temp_dir().join(format!("corepoll-{}.svg", std::process::id()));
    let found = run(&["--trace", "--svg", picture.to_str().expect("a path")]);
    let svg = fs::read_to_string(&picture).expect("a picture");
    fs::remove_file(&picture).expect("a file");
    let (first, rest) = found.split_once('\n').expect("lines");
    let (second, trace) = rest.split_once('\n').expect("lines");
    assert!(first.contains("has counted 11 of 10"), "{first}");
    // All that it takes is a connection that is reset between a request and its answer.
    assert!(first.ends_with("with reset 0.01"), "{first}");
    let failure = second.strip_prefix("replayed: ").expect("the same failure");
    assert!(first.contains(failure), "{first}\n{second}");
    assert!(trace.lines().last().is_some_and(|line| line.contains("has counted 11 of 10")));
    assert!(svg.contains("has counted 11 of 10"));
    // Another process makes the same steps, to the byte.
    assert_eq!(run(&["--trace"]), found);
}

#[test]
fn one_seed_replays_with_all_faults() {
    let found = run(&[]);
    let seed = found.strip_prefix("found by seed ").and_then(|rest| rest.split_once(':'));
    let (seed, _) = seed.expect("a seed");
    let [first, second] = [(); 2].map(|()| run(&["--seed", seed, "--trace"]));
    assert_eq!(first, second);
    assert!(first.starts_with("replayed: client: ") && first.contains("has counted"), "{first}");
}

#[test]
fn the_mended_counter_has_no_failure() {
    assert_eq!(run(&["--mended", "--seeds", "300"]), "300 seeds, and no failure\n");
}

#[test]
fn the_picture_in_readme_is_what_it_draws() {
    let picture = std::env::temp_dir().join(format!("corepoll-two-{}.svg", std::process::id()));
    run(&["--additions", "2", "--svg", picture.to_str().expect("a path")]);
    let drawn = fs::read_to_string(&picture).expect("a picture");
    fs::remove_file(&picture).expect("a file");
    let shown = include_str!("../../examples/replicated_counter.svg");
    assert!(
        drawn == shown,
        "README says by which command examples/replicated_counter.svg is drawn"
    );
}
