//! Unix sockets on the host of the server: what relays end at, and datagrams to a receiver that is slow.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use corepoll::net::{UnixDatagram, UnixListener, UnixStream};
use corepoll::{Acceptor, Listening, ReactorHandle, spawn_local, time};
use fastrand::Rng;
use futures::{AsyncReadExt, AsyncWriteExt};

use super::echo_handler::Echo;
use super::relay::Front;
use crate::model::{Incoming, model};
use crate::server::persist;

/// Where tasks send back what they get: an abstract name.
const TASK: &str = "\0task";

/// Where handlers do: a path.
const HANDLER: &str = "/run/handler";

/// Where what comes is not read to its end.
const DEAF: &str = "\0deaf";

/// How many datagrams go to a receiver, several times as many as its queue holds.
const LETTERS: u32 = 40;

/// The attempts to send each of them, on average, above which the sender spins.
const MOST_ATTEMPTS: u32 = 20;

/// Serves on Unix sockets: tasks on this poller, handlers on those of a reactor.
///
/// # Errors
///
/// Returns what the listeners return.
pub fn serve(handle: &ReactorHandle) -> io::Result<Listening> {
    let echoes = persist(|| UnixListener::bind(TASK))?;
    spawn_local(async move {
        while let Ok((stream, _)) = echoes.accept().await {
            spawn_local(echo(stream));
        }
    });
    let deaf = persist(|| UnixListener::bind(DEAF))?;
    spawn_local(async move {
        while let Ok((stream, _)) = deaf.accept().await {
            spawn_local(be_deaf(stream));
        }
    });
    let acceptor = || Acceptor::new(std::path::Path::new(HANDLER));
    persist(|| acceptor().listen(handle, || Echo::resume(Incoming::default())))
}

/// Sends back what comes.
async fn echo(stream: UnixStream) {
    let mut incoming = Incoming::default();
    while let Ok(chunk) = stream.read_chunk().await {
        if chunk.is_empty() {
            incoming.end();
            let _ = (&stream).close().await;
            return;
        }
        if !incoming.take(&chunk) || stream.send_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// Reads the number of a connection, and nothing more, and stays.
async fn be_deaf(mut stream: UnixStream) {
    let mut number = [0; size_of::<u32>()];
    if stream.read_exact(&mut number).await.is_err() {
        return;
    }
    let _ = stream.shutdown(Shutdown::Read);
    while !model().has_ended.get() {
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// Makes the handler of a connection that is relayed to an echo on a Unix socket.
pub fn relay() -> Front {
    Front::to(|port| {
        if port.is_multiple_of(2) { "unix:@task".to_owned() } else { format!("unix:{HANDLER}") }
    })
}

/// Makes the handler of one that is relayed to what does not read it to its end. The relay ends by that.
pub fn relay_to_deaf() -> Front {
    Front::to(|_| "unix:@deaf".to_owned())
}

/// Sends datagrams to a receiver that is slow, and to which the sender is not connected.
pub async fn use_letters(mut rng: Rng) {
    let name = format!("\0letters {}", rng.u64(..));
    let (Ok(receiver), Ok(sender)) = (UnixDatagram::bind(&name), UnixDatagram::unbound()) else {
        return;
    };
    let receives = spawn_local(async move {
        let mut buffer = [0; 8];
        for number in 0..LETTERS {
            match receiver.recv(&mut buffer).await {
                Ok(4) if buffer[..4] == number.to_le_bytes() => {}
                other => model().violated(format_args!("letter {number}: {other:?} {buffer:?}")),
            }
            time::sleep(Duration::from_micros(rng.u64(0..4000))).await;
        }
    });
    let (mut number, mut attempts) = (0_u32, 0);
    while number < LETTERS {
        attempts += 1;
        if sender.writable().await.is_err() {
            return;
        }
        match sender.try_send_to(&number.to_le_bytes(), &name) {
            Ok(_) => number += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return model().violated(format_args!("letter {number}: {error}")),
        }
        if attempts > LETTERS * MOST_ATTEMPTS {
            return model().violated(format_args!("a sender spins: {number} of {attempts} go out"));
        }
    }
    if receives.await.is_err() && !model().is_shut_down.get() {
        model().violated("the receiver of letters has not ended");
    }
}
