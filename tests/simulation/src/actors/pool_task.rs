//! A task that has each part of a connection sent back by the backend, over a connection of a pool.
//! Some answers come too late, and are given up.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{ConnectPool, time, with_local};
use fastrand::Rng;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::answers::{HEAD, Head};
use crate::model::{Incoming, model};
use crate::plan::{BACKEND, Service, one_in};

/// How long an answer may take.
pub(super) const LIMIT: Duration = Duration::from_millis(400);

/// How often an answer is asked for before the connection is given up.
pub(super) const TRIES: u32 = 6;

/// The pool of a poller, once it has one.
#[derive(Debug, Default)]
pub struct Pool(Option<ConnectPool>);

/// Returns the pool of this poller.
pub(super) fn pool() -> ConnectPool {
    let make = || {
        let address = format!("{BACKEND}:{}", Service::Answers.port());
        ConnectPool::builder(address.as_str()).max_live(4).build()
    };
    with_local(|pool: &mut Pool| pool.0.get_or_insert_with(make).clone())
}

/// Serves a connection.
pub async fn serve(mut stream: TcpStream) {
    let mut incoming = Incoming::default();
    let mut rng = Rng::with_seed(model().plan.seed);
    let mut buffer = vec![0; 4096];
    stream.set_deadlines(model().plan.deadlines());
    loop {
        let Ok((local, peer)) = ends(&stream) else { return };
        let attention = model().attend(local, peer, "a task with a pool");
        let Ok(count) = receive(&mut stream, &incoming, &mut buffer).await else { return };
        drop(attention);
        if count == 0 {
            incoming.end();
            let _ = stream.close().await;
            return;
        }
        if !incoming.take(&buffer[..count]) {
            return;
        }
        let Some(id) = incoming.id() else { return };
        let position = incoming.position as u32;
        let answer = answer(id, position, &buffer[..count], &mut rng).await;
        let Some(answer) = answer else { return };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Reads what there is, but the number of the connection whole: what is asked of the backend, and
/// excused, is asked and excused by that number.
async fn receive(
    stream: &mut TcpStream,
    incoming: &Incoming,
    buffer: &mut [u8],
) -> io::Result<usize> {
    if incoming.id().is_some() {
        return stream.read(buffer).await;
    }
    let number = &mut buffer[..size_of::<u32>()];
    stream.read_exact(number).await?;
    Ok(number.len())
}

/// Returns the addresses of both ends.
fn ends(stream: &TcpStream) -> io::Result<(std::net::SocketAddr, std::net::SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

/// Has `bytes` sent back by the backend, and asks again if the answer takes too long.
async fn answer(id: u32, position: u32, bytes: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
    for attempt in 0..TRIES {
        // The last answer is not given up.
        let is_last = attempt + 1 == TRIES;
        let delay = if !is_last && one_in(rng, 3) { rng.u32(0..1_000_000) } else { 0 };
        let length = bytes.len() as u32;
        let asked = ask(Head { id, position, length, delay }, bytes);
        let longest = model().plan.patience().unwrap_or(Duration::from_secs(3600));
        let limit = if is_last { longest } else { LIMIT };
        if let Ok(Ok(answer)) = time::timeout(limit, asked).await {
            return Some(answer);
        }
    }
    model().excuse(id, "the backend does not answer");
    None
}

/// Asks the backend.
async fn ask(request: Head, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut up = pool().get().await?;
    up.write_all(&request.to_bytes()).await?;
    up.write_all(bytes).await?;
    let mut head = [0; HEAD];
    up.read_exact(&mut head).await?;
    request.check(Head::from_bytes(&head))?;
    let mut answer = vec![0; bytes.len()];
    up.read_exact(&mut answer).await?;
    up.release();
    Ok(answer)
}
