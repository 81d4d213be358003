//! What is a failure of a simulation, and what it says.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::sim::{Faults, Simulation};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, spawn_local, time};

use super::{add_echo, ask};

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
    assert_eq!(first, second);
    assert_eq!(first.message, "client has panicked: a planted fault");
    assert_eq!(first.host.as_deref(), Some("client"));
    let text = first.to_string();
    assert!(text.contains("seed 42") && text.contains(&format!("step {}", first.step)), "{text}");
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
    assert_eq!(failure.message, "nothing can ever happen again: client waits");
    assert_eq!(failure.host, None);
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

#[test]
fn a_panic_of_a_task_or_a_callback_is_a_failure() {
    struct Panics;
    impl EvHandler for Panics {
        fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
            panic!("in a callback");
        }
    }
    let run = |tolerates: bool| {
        let mut sims = [Simulation::new(1), Simulation::new(1)];
        sims[0].host("server", || async {
            drop(spawn_local(async { panic!("in a task") }));
            std::future::pending().await
        });
        sims[1].host("server", || async {
            let reactor = Reactor::builder().pollers(1).build()?;
            Acceptor::new("0.0.0.0:7").listen(&reactor.handle(), || Panics)?;
            reactor.start()?.join().map(drop)
        });
        sims.map(|mut sim| {
            if tolerates {
                sim.tolerate_panics();
            }
            sim.client("client", async {
                let stream = TcpStream::connect("server:7").await;
                let asked = async { ask(&mut stream?, b"hello").await };
                time::timeout(Duration::from_secs(5), asked).await.ok();
                Ok(())
            });
            sim.run()
        })
    };
    let [task, callback] = run(false).map(Result::unwrap_err);
    assert_eq!(task.message, "server has panicked: in a task");
    assert_eq!(callback.message, "server has panicked: in a callback");
    assert_eq!(callback.host.as_deref(), Some("server"));
    assert!(run(true).iter().all(Result::is_ok), "as in production");
}

#[test]
fn faults_of_hosts_that_are_none_are_a_failure() {
    for faults in [
        Faults::default().crash("sever", ..Duration::MAX),
        Faults::default().partition("client", "sever", ..),
    ] {
        let mut sim = Simulation::new(1);
        sim.client("client", async { Ok(()) });
        sim.faults(faults);
        let failure = sim.run().unwrap_err();
        assert!(failure.message.contains("\"sever\", which is no host"), "{failure}");
    }
}

#[test]
fn a_failure_is_an_error_of_both_kinds() {
    fn boxed() -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut sim = Simulation::new(1);
        sim.client("client", std::future::pending());
        Ok(sim.run()?)
    }
    fn of_io() -> io::Result<()> {
        let mut sim = Simulation::new(1);
        sim.client("client", std::future::pending());
        Ok(sim.run()?)
    }
    assert!(boxed().unwrap_err().to_string().contains("seed 1"));
    assert!(of_io().unwrap_err().to_string().contains("seed 1"));
}

/// An error that says when it was asked.
#[derive(Debug)]
struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(time::now() < time::now());
        f.write_str("too late")
    }
}

impl Error for Late {}

#[test]
fn an_error_of_a_program_may_call_the_kernel_to_say_what_it_is() {
    let mut sim = Simulation::new(1);
    sim.client("client", async { Err(io::Error::other(Late)) });
    assert_eq!(sim.run().unwrap_err().message, "client: too late");
}
