//! The program of a host that connects to the server.

use std::io;
use std::pin::pin;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{spawn_local, time};
use fastrand::Rng;
use futures::future::{Either, join_all, select, try_join};
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::actors::udp;
use crate::bytes;
use crate::model::{Ends, Incoming, Stage, Talk, model};
use crate::plan::{End, Service};

/// How long a client insists, whatever goes wrong meanwhile.
const INSISTENCE: Duration = Duration::from_secs(100);

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
    let talks = (0..model().plan.first_talks()).filter(mine);
    let mut talks = talks.map(|id| spawn_local(keep_talking(id as u32))).collect::<Vec<_>>();
    if model().plan.datagrams > 0 {
        talks.push(spawn_local(udp::ask(model().plan.seed ^ number as u64)));
    }
    for result in join_all(talks).await {
        if let Err(error) = result {
            model().violated(format_args!("client {number}: {error}"));
        }
    }
    model().clients_over.borrow_mut().insert(number);
    Ok(())
}

/// Makes one connection, and the one that follows it if a crash breaks it.
async fn keep_talking(first: u32) {
    time::sleep(model().talks[first as usize].plan.start).await;
    while let Some(id) = model().next_attempt(first) {
        model().begin_talk(id);
        let is_done = talk(id).await;
        model().talks[id as usize].stage.set(if is_done { Stage::Over } else { Stage::Broken });
    }
}

/// Makes one connection. Returns `true` if it came to the end that is planned.
async fn talk(id: u32) -> bool {
    let model = model();
    let talk = &model.talks[id as usize];
    let stream = match TcpStream::connect(("server", talk.plan.service.port())).await {
        Ok(stream) => stream,
        Err(error) => {
            if !model.may_be_refused(id, &error) {
                model.violated(format_args!("connection {id} is not made: {error}"));
            }
            return false;
        }
    };
    stream.set_deadlines(model.plan.deadlines());
    let Err(error) = exchange(id, talk, stream).await else { return true };
    if !model.may_break(id) {
        model.violated(format_args!("connection {id} fails at its client: {error}"));
    }
    model.note_cut(id, error);
    false
}

/// Sends what is planned, and reads the answer.
async fn exchange(id: u32, talk: &Talk, stream: TcpStream) -> io::Result<()> {
    // A connection that has ended has none.
    let ends = (stream.local_addr()?, stream.peer_addr()?);
    if talk.plan.service == Service::DeafEnd {
        model().excuse(id, "its server does not read it to its end");
    }
    if talk.plan.end == End::Hoard {
        send(id, talk, &stream).await?;
        return receive(id, talk, &stream, ends).await;
    }
    let sends = pin!(send(id, talk, &stream));
    let receives = pin!(receive(id, talk, &stream, ends));
    if matches!(talk.plan.end, End::HalfClose | End::Silence) {
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
    if matches!(talk.plan.end, End::HalfClose | End::Hoard) {
        talk.is_ended.set(true);
        stream.close().await?;
    }
    if talk.plan.end == End::Insist {
        return insist(id, stream).await;
    }
    if talk.plan.end == End::GiveUp {
        stream.close().await?;
        // Long enough for the end to be passed on.
        time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Goes on sending to a server that does not read it, until the connection ends by that.
async fn insist(id: u32, mut stream: &TcpStream) -> io::Result<()> {
    let sends = async {
        loop {
            stream.write_all(&[0; 100]).await?;
            time::sleep(INSISTENCE / 1000).await;
        }
    };
    let told = time::timeout(INSISTENCE, sends).await;
    let plan = &model().plan;
    if told.is_err() && !plan.lacks_descriptors && !plan.lacks_watches {
        model().violated(format_args!("connection {id} is not told that nothing reads it"));
    }
    told.unwrap_or(Ok(()))
}

/// Reads the answer to its end, and checks it.
async fn receive(id: u32, talk: &Talk, mut stream: &TcpStream, ends: Ends) -> io::Result<()> {
    let mut rng = Rng::with_seed(model().plan.seed ^ u64::from(id) << 32);
    let mut incoming = Incoming::default();
    let mut buffer = vec![0; talk.plan.read];
    loop {
        let attention = model().attend(ends.0, ends.1, "a client");
        let count = stream.read(&mut buffer).await?;
        drop(attention);
        if count == 0 {
            incoming.end_of_answer();
            if incoming.position < talk.sent.get() && talk.early.answered.get().is_none() {
                model().note_cut(id, "its answer has ended early");
            }
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
