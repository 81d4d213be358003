//! Signals come to the programs of hosts as events of the simulation.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::signal::{self, Signal};
use corepoll::sim::{self, Simulation};
use corepoll::{Reactor, time};
use futures::AsyncReadExt;

use super::{ask, ms};

#[test]
fn a_server_shuts_down_at_a_signal() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        sim.host("server", || async {
            let reactor = Reactor::builder().pollers(2).build()?;
            reactor.handle().serve("0.0.0.0:7", |stream, _peer| async move {
                futures::io::copy(&stream, &mut &stream).await
            })?;
            let terminated = signal::terminate();
            let running = reactor.start()?;
            terminated.await?;
            running.handle().shutdown(ms(100));
            running.join().map(drop)
        });
        sim.client("client", async {
            let mut stream = TcpStream::connect("server:7").await?;
            ask(&mut stream, b"before").await?;
            sim::control().signal("server", libc::SIGTERM);
            // The grace is over while the connection stays.
            let ended = stream.read(&mut [0; 8]).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
            let error = TcpStream::connect("server:7").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            Ok(())
        });
        sim.run().unwrap();
    }
}

#[test]
fn each_waiter_has_each_signal_of_its_host() {
    let mut sim = Simulation::new(7);
    sim.client("one", async {
        let (mut first, mut second) =
            (Signal::new([libc::SIGHUP, libc::SIGUSR1])?, Signal::new([libc::SIGHUP])?);
        assert_eq!(first.recv().await?, libc::SIGHUP);
        assert_eq!(second.recv().await?, libc::SIGHUP);
        drop(second);
        assert_eq!(first.recv().await?, libc::SIGUSR1);
        Ok(())
    });
    sim.client("other", async {
        time::sleep(Duration::from_secs(1)).await;
        // Nothing of this host has asked for it, and the signal is not for this one.
        sim::control().signal("one", libc::SIGHUP);
        time::sleep(Duration::from_secs(1)).await;
        sim::control().signal("one", libc::SIGUSR1);
        sim::control().signal("other", libc::SIGCHLD);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn a_signal_that_ends_a_program_is_a_failure() {
    let mut sim = Simulation::new(7);
    sim.client("server", async {
        time::sleep(Duration::from_secs(9)).await;
        Ok(())
    });
    sim.run_for(Duration::from_secs(1)).unwrap();
    sim.control().signal("server", libc::SIGTERM);
    let failure = sim.run().unwrap_err();
    assert!(failure.message.contains("ended by signal 15"), "{failure}");
}
