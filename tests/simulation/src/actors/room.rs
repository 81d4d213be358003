//! A listener that has no descriptor for what waits: it is told when its poller closes one, and need not wait for the
//! end of its pause.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use corepoll::net::{TcpStream, UnixDatagram};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Listening, ReactorHandle, sim, time};
use fastrand::Rng;
use futures::AsyncReadExt;

use crate::annex::HOST;
use crate::model::{model, now};
use crate::plan::ms;

/// How many descriptors the host may have: more than its pollers need.
const LIMIT: usize = 100;

/// Where the listener is.
const PLACE: ([u8; 4], u16) = ([127, 0, 0, 1], 7003);

/// When connections were accepted.
type Accepted = Arc<Mutex<Vec<Instant>>>;

/// Lets a listener run out of descriptors, and frees one.
///
/// # Errors
///
/// Returns what the listener and the connections return.
pub async fn play(handle: &ReactorHandle, rng: &mut Rng) -> io::Result<()> {
    let accepted = Accepted::default();
    let _listening = listen(handle, &accepted, rng.bool())?;
    let first = TcpStream::connect(SocketAddr::from(PLACE)).await?;
    wait_for(1, &accepted).await;
    sim::control().limit_descriptors(HOST, LIMIT);
    let mut others = Vec::new();
    while let Ok(socket) = UnixDatagram::unbound() {
        others.push(socket);
    }
    // Room for the client, and none for the server.
    drop(others.pop());
    let second = TcpStream::connect(SocketAddr::from(PLACE)).await?;
    // Its pauses have become longer.
    time::sleep(ms(rng.u64(300..=1000))).await;
    let freed = now();
    drop(first);
    wait_for(2, &accepted).await;
    let waited = accepted.lock().unwrap()[1] - freed;
    model().check_prompt("a listener that is told of a free descriptor", waited);
    sim::control().limit_descriptors(HOST, usize::MAX);
    drop(second);
    Ok(())
}

/// Listens for handlers, or for tasks.
fn listen(handle: &ReactorHandle, accepted: &Accepted, by_tasks: bool) -> io::Result<Listening> {
    let (accepted, acceptor) = (accepted.clone(), Acceptor::new(SocketAddr::from(PLACE)));
    if !by_tasks {
        return acceptor.listen(handle, move || Visitor(accepted.clone()));
    }
    acceptor.serve(handle, move |mut stream, _| {
        accepted.lock().unwrap().push(now());
        async move { while matches!(stream.read(&mut [0; 16]).await, Ok(1..)) {} }
    })
}

/// Waits until so many connections were accepted.
async fn wait_for(count: usize, accepted: &Accepted) {
    while accepted.lock().unwrap().len() < count {
        time::sleep(ms(1)).await;
    }
}

/// A handler that stays until its peer ends.
#[derive(Debug)]
struct Visitor(Accepted);

impl EvHandler for Visitor {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.0.lock().unwrap().push(cx.now());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let is_end = cx.read()?.is_empty();
        Ok(if is_end { Action::Close } else { Action::Keep })
    }
}
