//! A seed replays a run, and a failure says which.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::sim::{Faults, Simulation};
use corepoll::time;

use super::{add_echo, ask, ms};

/// Runs a program with much chance in it, and returns what it has left: steps, hash and trace.
fn run(seed: u64, keeps_trace: bool) -> (u64, u64, Vec<String>) {
    let mut sim = Simulation::new(seed);
    if keeps_trace {
        sim.keep_trace();
    }
    add_echo(&mut sim);
    for number in 0..4_u8 {
        sim.client(format!("client {number}"), async move {
            loop {
                // A host that crashes after it has confirmed a request never answers.
                let done = time::timeout(Duration::from_secs(30), async {
                    let mut stream = TcpStream::connect("server:7").await?;
                    for length in 1..10 {
                        ask(&mut stream, &vec![number; length * 299]).await?;
                    }
                    io::Result::Ok(())
                });
                if matches!(done.await, Ok(Ok(()))) {
                    return Ok(());
                }
                time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.05).reset(0.005).short_io(0.1);
    sim.faults(faults.crash("server", ms(300)..ms(500)));
    sim.run().unwrap();
    (sim.steps(), sim.trace_hash(), sim.trace())
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let first = run(seed, true);
        let second = run(seed, true);
        assert_eq!(first.2, second.2);
        let (steps, hash, trace) = first;
        assert_eq!(trace.len() as u64, steps);
        // The hash is the same whether the lines are kept or not.
        assert_eq!(run(seed, false), (steps, hash, Vec::new()));
    }
}

#[test]
fn other_seeds_give_other_traces() {
    let hashes: std::collections::HashSet<u64> = (0..20).map(|seed| run(seed, false).1).collect();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn the_trace_names_errors_and_the_conditions_of_epoll() {
    let traces: Vec<String> = (0..20).flat_map(|seed| run(seed, true).2).collect();
    for named in ["reports events: 1, the first IN", "fails: Connection reset by peer"] {
        assert!(traces.iter().any(|line| line.contains(named)), "{named}");
    }
}
