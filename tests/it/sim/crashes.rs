//! What is left of a host that crashes: what it has sent.

use std::future::pending;
use std::time::Duration;

use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::{self, Failure, Faults, Simulation};
use corepoll::time;
use futures::{AsyncReadExt, AsyncWriteExt};

const HOUR: Duration = Duration::from_secs(3600);

/// A server that answers and crashes, before its answer has arrived. `then` follows the crash.
fn answer_and_crash(seed: u64, then: fn()) -> (Simulation, Faults) {
    let mut sim = Simulation::new(seed);
    sim.host("server", move || async move {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        let (mut stream, _peer) = listener.accept().await?;
        stream.read_exact(&mut [0; 4]).await?;
        stream.write_all(b"good day").await?;
        then();
        sim::control().crash("server");
        pending().await
    });
    let ms = Duration::from_millis;
    (sim, Faults::default().latency(ms(10)..ms(50)).short_io(0.3))
}

#[test]
fn what_a_host_has_sent_before_it_crashes_arrives() -> Result<(), Failure> {
    for seed in 0..20 {
        let (mut sim, faults) = answer_and_crash(seed, || {});
        sim.faults(faults);
        sim.client("client", async {
            let mut stream = TcpStream::connect("server:80").await?;
            stream.write_all(b"ping").await?;
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).await?;
            assert_eq!(&answer, b"good day");
            // The connection is silent from now on, and does not end: nothing was sent that could.
            assert!(time::timeout(HOUR, stream.read(&mut answer)).await.is_err());
            Ok(())
        });
        sim.run()?;
    }
    Ok(())
}

#[test]
fn what_is_lost_of_it_is_not_sent_again() -> Result<(), Failure> {
    let (mut sim, faults) = answer_and_crash(7, || sim::control().partition("server", "client"));
    sim.faults(faults);
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:80").await?;
        stream.write_all(b"ping").await?;
        let mut answer = [0; 8];
        let answered = stream.read_exact(&mut answer);
        let mut answered = std::pin::pin!(time::timeout(HOUR, answered));
        assert!(time::timeout(Duration::from_secs(60), &mut answered).await.is_err());
        sim::control().heal("server", "client");
        assert!(answered.await.is_err());
        Ok(())
    });
    sim.run()
}
