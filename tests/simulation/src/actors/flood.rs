//! A peer that floods, a task that reads it by small pieces, and a neighbour on the same poller, whose
//! bytes must not wait for the end of the flood.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use corepoll::net::UnixStream;
use corepoll::{spawn_local, yield_now};
use fastrand::Rng;
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::model::model;

/// The reads that the flood takes, apart from short ones.
const READS: usize = 3000;

/// The most reads of it while a neighbour asks and is answered: each poll of a task makes 128 of them at
/// the most, and an answer takes three turns of its poller.
const MOST_READS: usize = 128 * 8;

/// Reads a flood, and has a neighbour answered meanwhile.
pub async fn flood(mut rng: Rng) {
    // There may be no descriptor.
    let (Ok(flood), Ok(neighbour)) = (UnixStream::pair(), UnixStream::pair()) else { return };
    let piece = [1, 16, 60][rng.usize(0..3)];
    let reads = Rc::new(Cell::new(0));
    let answers = spawn_local(answer(neighbour.1));
    let sends = spawn_local(send(flood.0, READS * piece));
    let drains = spawn_local(drain(flood.1, piece, reads.clone()));
    let asked = ask(neighbour.0, &reads, || drains.is_finished()).await;
    let results = [answers.await, sends.await, drains.await];
    // A task is cancelled by the shutdown alone.
    for result in results.into_iter().flatten().chain([asked]) {
        if let Err(error) = result {
            model().violated(format_args!("a flood beside a neighbour: {error}"));
        }
    }
}

/// Sends all at once that the kernel takes.
async fn send(mut stream: UnixStream, length: usize) -> io::Result<()> {
    stream.write_all(&vec![0; length]).await?;
    stream.close().await
}

/// Reads to the end by small pieces, and counts.
async fn drain(mut stream: UnixStream, piece: usize, reads: Rc<Cell<usize>>) -> io::Result<()> {
    let mut buffer = [0; 64];
    while stream.read(&mut buffer[..piece]).await? > 0 {
        reads.set(reads.get() + 1);
    }
    Ok(())
}

/// Sends back what comes.
async fn answer(mut stream: UnixStream) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {
        stream.write_all(&byte).await?;
    }
    Ok(())
}

/// Has bytes sent back until the flood is over, each of them soon.
async fn ask(
    mut stream: UnixStream,
    reads: &Cell<usize>,
    is_over: impl Fn() -> bool,
) -> io::Result<()> {
    let mut byte = [0];
    while !is_over() {
        let before = reads.get();
        stream.write_all(&byte).await?;
        stream.read_exact(&mut byte).await?;
        let passed = reads.get() - before;
        // A drawn budget may take one event in a turn, and many turns.
        if passed > MOST_READS && !model().plan.timing.has_own_budget {
            let what = format_args!("a neighbour has waited for {passed} reads of a flood");
            model().violated(what);
        }
        yield_now().await;
    }
    stream.close().await
}
