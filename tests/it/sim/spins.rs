//! Programs that wait for nothing, which a simulation tells instead of standing still.

use std::io::{self, ErrorKind};
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::sim::Simulation;
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, time, yield_now};
use futures::AsyncWriteExt;

use super::add_echo;

/// What is said of the server.
const MESSAGE: &str = "server spins: 100000 system calls in a row have done nothing";

/// Reads until there is something, without a way back to the poller.
struct Impatient;

impl EvHandler for Impatient {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        loop {
            match cx.read() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(bytes) if bytes.is_empty() => return Ok(Action::Close),
                Ok(_) => {}
            }
        }
    }
}

/// Is called again and again for bytes that it does not read.
struct Idle;

impl EvHandler for Idle {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// Serves by handlers that `make` makes, for a client that says one word, and returns what fails.
fn serve<H: EvHandler>(make: fn() -> H) -> corepoll::sim::Failure {
    let mut sim = Simulation::new(1);
    sim.tolerate_panics();
    sim.host("server", move || async move {
        let reactor = Reactor::builder().pollers(2).build()?;
        Acceptor::new("0.0.0.0:7").listen(&reactor.handle(), make)?;
        let _running = reactor.start()?;
        std::future::pending().await
    });
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        stream.write_all(b"word").await?;
        std::future::pending().await
    });
    sim.run().unwrap_err()
}

#[test]
fn a_loop_of_calls_in_a_callback_is_a_failure() {
    let failure = serve(|| Impatient);
    assert_eq!(failure.message, MESSAGE);
    assert_eq!(failure.host.as_deref(), Some("server"));
    assert!(failure.step > 0 && failure.elapsed < Duration::from_secs(1), "{failure:?}");
    // It is found again at the same step.
    assert_eq!(serve(|| Impatient), failure);
}

#[test]
fn a_handler_that_never_reads_is_a_failure() {
    assert_eq!(serve(|| Idle).message, MESSAGE);
}

#[test]
fn a_task_that_tries_again_and_again_is_a_failure() {
    let mut sim = Simulation::new(1);
    sim.host("server", || async {
        loop {
            // It is never there, and each try gives others a turn.
            let _ = corepoll::sim::remove_file("/run/a-lock");
            yield_now().await;
        }
    });
    sim.client("client", async {
        time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    assert_eq!(sim.run().unwrap_err().message, MESSAGE);
}

#[test]
fn a_program_that_works_without_a_pause_does_not_spin() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        // More calls than one that spins may make, but each of them does something.
        for _ in 0..20_000 {
            super::ask(&mut stream, b"word").await?;
        }
        // A loop that waits for the clock ends: reading it takes time.
        let end = time::now() + Duration::from_millis(100);
        while time::now() < end {}
        Ok(())
    });
    sim.run().unwrap();
}
