//! Programs on the simulated kernel: what they see, what goes wrong there, and that a seed replays
//! it.

mod checks;
mod crashes;
mod failures;
mod faults;
mod lives;
mod picture;
mod programs;
mod relays;
mod replay;
mod search;
#[cfg(feature = "signal")]
mod signals;
mod spins;
#[cfg(feature = "blocking")]
mod stacks;
#[cfg(feature = "blocking")]
mod threads;
mod udp;
mod unix;
mod user_timeout;

use std::io;
use std::time::Duration;

use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::Simulation;
use futures::{AsyncReadExt, AsyncWriteExt};

/// Returns so many milliseconds.
fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Adds a host that sends back what it gets.
fn add_echo(sim: &mut Simulation) {
    sim.host("server", || async {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            corepoll::spawn_local(async move { futures::io::copy(&stream, &mut &stream).await });
        }
    });
}

/// Sends `bytes` to the echo, and checks what comes back.
async fn ask(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, bytes);
    Ok(())
}
