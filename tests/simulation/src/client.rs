//! The program of a host that connects to the server.

use std::io;
use std::pin::pin;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{spawn_local, time};
use fastrand::Rng;
use futures::future::{Either, join_all, select, try_join};
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::bytes;
use crate::model::{Incoming, Talk, model};
use crate::plan::End;

/// Makes the connections of the client with a number.
///
/// # Errors
///
/// It has none: what goes wrong is told to the model.
pub async fn run(number: usize) -> io::Result<()> {
    while !model().is_listening.get() || !model().has_backend.get() {
        time::sleep(Duration::from_millis(1)).await;
    }
    let mine = |id: &usize| model().talks[*id].plan.client == number;
    let talks = (0..model().talks.len()).filter(mine);
    let talks = talks.map(|id| spawn_local(talk(id as u32))).collect::<Vec<_>>();
    for result in join_all(talks).await {
        if let Err(error) = result {
            model().violated(format_args!("client {number}: {error}"));
        }
    }
    model().clients_left.set(model().clients_left.get() - 1);
    Ok(())
}

/// Makes one connection.
async fn talk(id: u32) {
    let model = model();
    let talk = &model.talks[id as usize];
    time::sleep(talk.plan.start).await;
    let stream = match TcpStream::connect(("server", talk.plan.service.port())).await {
        Ok(stream) => stream,
        Err(error) => {
            if !model.may_break(id) && !model.plan.lacks_descriptors {
                model.violated(format_args!("connection {id} is not made: {error}"));
            }
            return;
        }
    };
    if let Err(error) = exchange(id, talk, stream).await
        && !model.may_break(id)
    {
        model.violated(format_args!("connection {id} fails at its client: {error}"));
    }
}

/// Sends what is planned, and reads the answer.
async fn exchange(id: u32, talk: &Talk, stream: TcpStream) -> io::Result<()> {
    let sends = pin!(send(id, talk, &stream));
    let receives = pin!(receive(id, talk, &stream));
    if talk.plan.end == End::HalfClose {
        return try_join(sends, receives).await.map(drop);
    }
    // What the server reads of it is not known any more.
    let is_sent = match select(sends, receives).await {
        Either::Left((result, _)) => result,
        Either::Right((result, _)) => result,
    };
    model().excuse(id, "its client has closed it");
    is_sent?;
    if matches!(talk.plan.end, End::Reset | End::GiveUp) {
        stream.set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Sends what is planned.
async fn send(id: u32, talk: &Talk, mut stream: &TcpStream) -> io::Result<()> {
    let mut rng = Rng::with_seed(model().plan.seed ^ u64::from(id));
    stream.write_all(&id.to_le_bytes()).await?;
    let mut buffer = vec![0; talk.plan.chunk];
    while talk.sent.get() < talk.plan.length {
        let left = talk.plan.length - talk.sent.get();
        let count = left.min(rng.usize(1..=talk.plan.chunk));
        bytes::fill(id, talk.sent.get(), &mut buffer[..count]);
        // The first of them may arrive before the last is written.
        talk.sent.set(talk.sent.get() + count);
        stream.write_all(&buffer[..count]).await?;
        pause(&mut rng, talk.plan.pause).await;
    }
    if talk.plan.end == End::HalfClose {
        talk.is_ended.set(true);
        stream.close().await?;
    }
    if talk.plan.end == End::GiveUp {
        stream.close().await?;
        // Long enough for the end to be passed on.
        time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Reads the answer to its end, and checks it.
async fn receive(id: u32, talk: &Talk, mut stream: &TcpStream) -> io::Result<()> {
    let mut rng = Rng::with_seed(model().plan.seed ^ u64::from(id) << 32);
    let ends = (stream.local_addr()?, stream.peer_addr()?);
    let mut incoming = Incoming::default();
    let mut buffer = vec![0; talk.plan.read];
    loop {
        let attention = model().attend(ends.0, ends.1, "a client");
        let count = stream.read(&mut buffer).await?;
        drop(attention);
        if count == 0 {
            incoming.end();
            return Ok(());
        }
        if !incoming.take(&buffer[..count]) {
            return Err(io::Error::other("the bytes are wrong"));
        }
        pause(&mut rng, talk.plan.read_pause).await;
    }
}

/// Waits for up to `most`.
async fn pause(rng: &mut Rng, most: Duration) {
    if !most.is_zero() {
        time::sleep(most.mul_f64(rng.f64())).await;
    }
}
