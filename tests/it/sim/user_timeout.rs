//! TCP_USER_TIMEOUT in a simulation: it ends a connection whose peer confirms nothing, and no other.

use std::io::{self, ErrorKind};
use std::time::Duration;

use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::{Faults, Simulation};
use corepoll::time;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::{add_echo, ask, ms};

/// The limit of these tests.
const LIMIT: Duration = Duration::from_secs(5);

/// Connects to a port of the server, with the limit.
async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_user_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Checks that something has taken as long as the limit.
fn assert_limit(passed: Duration) {
    assert!((LIMIT..LIMIT + ms(100)).contains(&passed), "it took {passed:?}");
}

#[test]
fn what_a_cut_link_swallows_is_given_up() {
    for cut_by in [1, 2] {
        let mut sim = Simulation::new(1);
        add_echo(&mut sim);
        sim.client("client", async move {
            let mut stream = connect("server:7").await?;
            ask(&mut stream, b"before").await?;
            // A connection on which nothing is under way ends by no such limit.
            time::sleep(Duration::from_secs(60)).await;
            let start = time::now();
            // Bytes, or the end alone.
            if cut_by == 1 {
                stream.write_all(b"lost").await?
            } else {
                stream.close().await?
            }
            let error = stream.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert_limit(time::now() - start);
            Ok(())
        });
        let cut = Faults::default().partition("server", "client", Duration::from_secs(30)..);
        sim.faults(cut.latency(ms(1)..ms(2)));
        sim.run().unwrap();
    }
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut sim = Simulation::new(1);
    sim.host("server", || async {
        let _unread = TcpListener::bind("0.0.0.0:9").await?.accept().await?;
        std::future::pending().await
    });
    sim.client("client", async {
        let mut stream = connect("server:9").await?;
        let start = time::now();
        // Its kernel confirms what its buffer has room for.
        let error = stream.write_all(&[0; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_limit(time::now() - start);
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn a_slow_peer_is_not_given_up() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let mut stream = connect("server:7").await?;
        let start = time::now();
        for _ in 0..10 {
            ask(&mut stream, b"far away").await?;
        }
        assert!(time::now() - start > 4 * LIMIT);
        // A limit that is taken back holds no more, and a later one holds for what waits already.
        stream.set_user_timeout(None)?;
        sim_cut();
        stream.write_all(b"lost").await?;
        time::sleep(8 * LIMIT).await;
        stream.set_user_timeout(Some(9 * LIMIT))?;
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        Ok(())
    });
    sim.faults(Faults::default().latency(ms(1000)..ms(2000)));
    sim.run().unwrap();
}

/// Cuts the server off.
fn sim_cut() {
    corepoll::sim::control().partition("client", "server");
}
