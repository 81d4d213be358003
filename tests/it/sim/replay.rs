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
fn a_panic_is_a_failure_that_names_its_seed_and_step() {
    let run = || {
        let mut sim = Simulation::new(42);
        add_echo(&mut sim);
        sim.client("client", async {
            let mut stream = TcpStream::connect("server:7").await?;
            ask(&mut stream, b"hello").await?;
            panic!("a planted fault");
        });
        sim.run().unwrap_err()
    };
    let (first, second) = (run(), run());
    assert_eq!((first.seed, first.step), (42, second.step));
    assert_eq!(first.message, "client has panicked: a planted fault");
    assert!(first.to_string().contains("seed 42"));
}

#[test]
fn an_error_of_a_host_is_a_failure() {
    let mut sim = Simulation::new(1);
    sim.host("server", || async { Err(io::Error::other("no disk")) });
    sim.client("client", time_out());
    let failure = sim.run().unwrap_err();
    assert_eq!(failure.message, "server: no disk");
}

async fn time_out() -> io::Result<()> {
    time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

#[test]
fn a_client_that_waits_for_nothing_is_a_failure() {
    let mut sim = Simulation::new(1);
    sim.client("client", std::future::pending());
    let failure = sim.run().unwrap_err();
    assert!(failure.message.contains("nothing can ever happen again"), "{failure}");
    let mut sim = Simulation::new(1);
    sim.time_limit(Duration::from_secs(60));
    sim.client("client", async {
        loop {
            time::sleep(Duration::from_secs(1)).await;
        }
    });
    let failure = sim.run().unwrap_err();
    assert!(failure.message.contains("not ended within 60s"), "{failure}");
}
