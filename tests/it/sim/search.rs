//! The search for a seed, and for fewer faults.

use std::io;
use std::time::Duration;

use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::{self, Failure, Faults, Simulation};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::ms;

/// A server whose first read is taken for a whole request, and a client that hears of it.
fn reads_once(sim: &mut Simulation) -> Result<(), Failure> {
    sim.host("server", || async {
        let (mut stream, _peer) = TcpListener::bind("0.0.0.0:7").await?.accept().await?;
        let count = stream.read(&mut [0; 64]).await?;
        stream.write_all(&[count as u8]).await?;
        std::future::pending().await
    });
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        stream.write_all(&[0; 64]).await?;
        let mut count = [0];
        stream.read_exact(&mut count).await?;
        if count[0] == 64 { Ok(()) } else { Err(io::Error::other("a part was lost")) }
    });
    sim.run()
}

fn all_faults() -> Faults {
    let second = Duration::from_secs;
    let faults = Faults::default().latency(ms(1)..ms(50)).drop(0.01).short_io(0.2).emfile(0.0001);
    faults
        .urgent(0.001)
        .accept_error(0.1)
        .epoll_error(0.0001)
        .refuse_accept(second(90)..second(91))
        .partition("server", "client", second(100)..second(101))
        .slow("server", "client", ms(50)..ms(60), second(103)..)
        .pause("client", second(150)..second(151))
        .crash("server", second(200)..second(201))
}

#[test]
fn it_leaves_the_faults_that_a_failure_takes() {
    let found = sim::search(0..1000, all_faults(), reads_once).unwrap_err();
    assert_eq!(found.faults.to_string(), "latency 1ms..50ms, short_io 0.2");
    assert_eq!(found.failure.message, "client: a part was lost");
    let text = found.to_string();
    assert!(text.contains(&format!("seed {}", found.failure.seed)), "{text}");
    assert!(text.ends_with(", short_io 0.2"), "{text}");
    let mut replay = Simulation::new(found.failure.seed);
    replay.faults(found.faults);
    assert_eq!(reads_once(&mut replay).unwrap_err(), found.failure);
}

#[test]
fn it_finds_nothing_where_nothing_is() {
    sim::search(0..20, Faults::default(), reads_once).unwrap();
    sim::search(0..0, all_faults(), |_| panic!("no seed")).unwrap();
}

#[test]
fn faults_say_what_they_are() {
    assert_eq!(
        all_faults().to_string(),
        "latency 1ms..50ms, drop 0.01, short_io 0.2, emfile 0.0001, urgent 0.001, \
         accept_error 0.1, epoll_error 0.0001, refuse_accept 90s..91s, partition server client 100s..101s, \
         slow server client 50ms..60ms 103s.., pause client 150s..151s, crash server 200s..201s"
    );
    assert_eq!(Faults::default().to_string(), "no faults");
}
