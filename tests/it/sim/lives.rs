//! The lives of simulations and of their hosts: how they begin, what a test does to them meanwhile,
//! and that nothing is left of them.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use corepoll::net::{TcpListener, TcpStream, lookup_host};
use corepoll::sim::{self, Faults, Simulation};
use corepoll::{Reactor, time};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::{add_echo, ask, ms};
use crate::common;

#[test]
fn a_simulation_without_clients_is_over_when_its_hosts_wait() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.run().unwrap();
    Simulation::new(1).run().unwrap();
}

#[test]
fn a_simulation_runs_once() {
    let mut sim = Simulation::new(1);
    sim.client("client", async { Ok(()) });
    sim.run().unwrap();
    assert_eq!(sim.run().unwrap_err().message, "the simulation is over");
    assert!(sim.run_for(ms(1)).is_err());
}

#[test]
#[should_panic = "has a host \"server\" already"]
fn a_name_is_given_once() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    add_echo(&mut sim);
}

#[test]
fn what_no_address_could_name_is_no_name() {
    for name in ["", "a:80", "localhost", "127.0.0.1", "0.0.0.0", "unix:/x"] {
        let add = || Simulation::new(1).client(name, async { Ok(()) });
        assert!(std::panic::catch_unwind(add).is_err(), "{name:?}");
    }
}

#[test]
fn a_host_may_be_named_by_its_address() {
    for name in ["192.168.7.7", "fd00::7", "10.0.0.1", "10.0.0.2"] {
        let mut sim = Simulation::new(1);
        sim.host(name, move || async move {
            let any = if name.contains(':') { "[::]:7" } else { "0.0.0.0:7" };
            let listener = TcpListener::bind(any).await?;
            loop {
                let (stream, peer) = listener.accept().await?;
                assert_eq!(peer.ip(), sim::control().address("client"));
                assert_eq!(stream.local_addr()?.ip(), sim::control().address(name));
            }
        });
        sim.client("client", async move {
            let stream = TcpStream::connect((name, 7)).await?;
            assert_eq!(stream.peer_addr()?.ip().to_string(), name);
            let found: Vec<_> = lookup_host("localhost:1").await?.collect();
            assert!(found[0].ip().is_loopback());
            Ok(())
        });
        sim.run().unwrap();
    }
}

#[test]
fn two_simulations_of_a_thread_do_not_know_each_other() {
    let add = |seed: u64| {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        sim.client("client", async {
            ask(&mut TcpStream::connect("server:7").await?, b"hello").await?;
            time::sleep(Duration::from_secs(5)).await;
            Ok(())
        });
        sim
    };
    let (mut one, mut other) = (add(1), add(2));
    one.run_for(Duration::from_secs(1)).unwrap();
    other.run().unwrap();
    one.run().unwrap();
    assert_eq!(one.trace_hash(), {
        let mut alone = add(1);
        alone.run_for(Duration::from_secs(1)).unwrap();
        alone.run().unwrap();
        alone.trace_hash()
    });
}

#[test]
fn a_simulation_inside_of_another_is_a_failure() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        drop(Simulation::new(2));
        Ok(())
    });
    let failure = sim.run().unwrap_err();
    assert!(failure.message.contains("inside of another one"), "{failure}");
    let mut inner = Simulation::new(3);
    let mut sim = Simulation::new(1);
    sim.client("client", async move {
        inner.client("client", async { Ok(()) });
        Ok(())
    });
    let failure = sim.run().unwrap_err();
    assert!(failure.message.contains("inside of another one"), "{failure}");
}

/// Makes a simulation that is far from its end, runs it for a while if `time` is given, and drops
/// it.
fn leave_unfinished(time: Option<Duration>) {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.host("reactor", || async {
        let running = Reactor::builder().pollers(2).build()?.start()?;
        running.join().map(drop)
    });
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        loop {
            ask(&mut stream, b"hello").await?;
            time::sleep(ms(10)).await;
        }
    });
    sim.faults(Faults::default().latency(ms(1)..ms(9)));
    if let Some(time) = time {
        sim.run_for(time).unwrap();
    }
}

#[test]
fn a_simulation_that_is_dropped_half_way_leaves_nothing() {
    common::in_own_process(|| {
        let left = || {
            let count = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
            (count("fd"), count("task"), common::counting::live_here())
        };
        for time in [None, Some(Duration::ZERO), Some(Duration::from_secs(60))] {
            // What is made once for the thread is made by the first.
            leave_unfinished(time);
            let before = left();
            for _ in 0..5 {
                leave_unfinished(time);
            }
            assert_eq!(left(), before, "{time:?}");
        }
    });
}

#[test]
fn a_program_that_has_not_begun_never_does() {
    let has_begun = Rc::new(Cell::new(false));
    let begins = has_begun.clone();
    let mut sim = Simulation::new(1);
    sim.client("client", async move {
        begins.set(true);
        Ok(())
    });
    drop(sim);
    assert!(!has_begun.get());
    assert_eq!(Rc::strong_count(&has_begun), 1, "its program is dropped");
}

#[test]
fn a_test_cuts_slows_and_heals_links_between_two_runs() {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let noted = answers.clone();
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async move {
        let mut stream = TcpStream::connect("server:7").await?;
        loop {
            let before = time::now();
            ask(&mut stream, b"hello").await?;
            noted.borrow_mut().push(time::now() - before);
            time::sleep(ms(100)).await;
        }
    });
    sim.faults(Faults::default().latency(ms(1)..ms(2)));
    let control = sim.control();
    let answers_of = |sim: &mut Simulation, seconds| {
        answers.borrow_mut().clear();
        sim.run_for(Duration::from_secs(seconds)).unwrap();
        answers.borrow().clone()
    };
    let usual = answers_of(&mut sim, 10);
    assert!(usual.len() > 90 && usual.iter().all(|time| *time < ms(10)), "{usual:?}");
    control.partition("server", "client");
    assert_eq!(answers_of(&mut sim, 10).len(), 0);
    control.heal("client", "server");
    let after = answers_of(&mut sim, 30);
    assert!(after[0] > ms(10_000) && after[1..].iter().all(|time| *time < ms(10)), "{after:?}");
    control.slow("server", "client", ms(500)..ms(600));
    let slow = answers_of(&mut sim, 10);
    assert!(slow[1..].iter().all(|time| *time >= ms(1000)), "{slow:?}");
    control.heal("server", "client");
    control.partition_one_way("client", "server");
    assert!(answers_of(&mut sim, 10).len() <= 1, "of what was under way");
}

#[test]
fn a_program_crashes_hosts_and_itself() {
    let starts = Rc::new(Cell::new(0));
    let counted = starts.clone();
    let mut sim = Simulation::new(1);
    sim.host("server", move || {
        counted.set(counted.get() + 1);
        async {
            let listener = TcpListener::bind("0.0.0.0:7").await?;
            let (_stream, _peer) = listener.accept().await?;
            sim::control().restart("server");
            time::sleep(Duration::from_secs(3600)).await;
            panic!("it has crashed long ago");
        }
    });
    sim.client("client", async {
        TcpStream::connect("server:7").await?;
        time::sleep(ms(500)).await;
        assert!(sim::control().is_running("server"));
        sim::control().crash("server");
        assert!(!sim::control().is_running("server"));
        let error = TcpStream::connect("server:7").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        sim::control().restart("server");
        TcpStream::connect("server:7").await?;
        time::sleep(ms(500)).await;
        Ok(())
    });
    sim.run().unwrap();
    assert_eq!(starts.get(), 4);
}

#[test]
fn a_host_that_stands_still_is_late_and_does_not_know() {
    let late = Rc::new(Cell::new(Duration::ZERO));
    let longest = late.clone();
    let mut sim = Simulation::new(1);
    sim.host("leader", move || {
        let longest = longest.clone();
        async move {
            loop {
                let before = time::now();
                time::sleep(ms(100)).await;
                longest.set(longest.get().max(time::now() - before));
            }
        }
    });
    add_echo(&mut sim);
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        sim::control().pause("server");
        // The kernel of a host that stands still confirms what comes.
        let answer = time::timeout(Duration::from_secs(20), ask(&mut stream, b"hello")).await;
        assert!(answer.is_err(), "no answer");
        sim::control().resume("server");
        stream.read_exact(&mut [0; 5]).await?;
        ask(&mut stream, b"again").await
    });
    sim.faults(Faults::default().latency(ms(1)..ms(9)).pause("leader", ms(5000)..ms(9000)));
    sim.run().unwrap();
    assert!((ms(3900)..ms(4200)).contains(&late.get()), "{:?}", late.get());
}

#[test]
fn a_stream_that_outlives_its_host_stands_for_nothing() {
    let mut sim = Simulation::new(1);
    let shared = Rc::new(RefCell::new(Vec::new()));
    let kept = shared.clone();
    sim.host("server", move || {
        let kept = kept.clone();
        async move {
            let listener = TcpListener::bind("0.0.0.0:7").await?;
            loop {
                let (stream, _peer) = listener.accept().await?;
                kept.borrow_mut().push(stream);
            }
        }
    });
    sim.client("client", async move {
        let mut before = Vec::new();
        for _ in 0..4 {
            before.push(TcpStream::connect("server:7").await?);
        }
        time::sleep(ms(10)).await;
        sim::control().crash("server");
        sim::control().restart("server");
        time::sleep(ms(10)).await;
        let mut left = shared.take();
        assert_eq!(left.len(), 4);
        let error = left[0].read(&mut [0; 1]).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::WouldBlock);
        // These numbers would be those of the streams that are left, if they were free.
        let mut stream = TcpStream::connect("server:7").await?;
        drop((left, before));
        time::sleep(ms(10)).await;
        let mut peer = shared.take().remove(0);
        peer.write_all(b"alive").await?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await?;
        assert_eq!(&bytes, b"alive");
        drop(peer);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn crashes_leave_no_descriptor_of_the_process() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for seed in 0..40 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        sim.client("client", async {
            let _stream = TcpStream::connect("server:7").await?;
            for _ in 0..20 {
                sim::control().restart("server");
                time::sleep(ms(1)).await;
            }
            Ok(())
        });
        sim.run().unwrap();
    }
    // Other tests of this process open some meanwhile, and there were three for each crash.
    let after = open();
    assert!(after < before + 40 * 20, "{before} were open before, and {after} after");
}
