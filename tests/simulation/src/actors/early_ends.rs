//! Services that end before their clients do: a task that ends its output first and leaves the rest to a
//! handler, which takes its time, and a handler that closes with input left.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest, TimerId};
use fastrand::Rng;
use futures::{AsyncReadExt, AsyncWriteExt};

use crate::attention::Attention;
use crate::life::Life;
use crate::model::{Incoming, model, now};
use crate::plan::one_in;

/// Sends back what comes until a part of it has come, ends the output, and reads on.
pub async fn end_output_first(stream: TcpStream) {
    let mut incoming = Incoming::default();
    if let Err(error) = answer_a_part(stream, &mut incoming).await
        && let Some(id) = incoming.id()
        && !model().may_break(id)
    {
        let at = incoming.position;
        model()
            .violated(format_args!("connection {id} fails where it ends first, at {at}: {error}"));
    }
}

/// Does the work of [`end_output_first`].
async fn answer_a_part(mut stream: TcpStream, incoming: &mut Incoming) -> io::Result<()> {
    stream.set_deadlines(model().plan.deadlines());
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let mut buffer = [0; 4096];
    let mut has_ended = false;
    loop {
        let attention = model().attend(local, peer, "a task that ends first");
        let count = stream.read(&mut buffer).await?;
        drop(attention);
        if count == 0 {
            incoming.end();
            return stream.close().await;
        }
        if !incoming.take(&buffer[..count]) {
            return Err(io::Error::other("the bytes are wrong"));
        }
        if has_ended {
            continue;
        }
        stream.write_all(&buffer[..count]).await?;
        let Some(id) = incoming.id() else { continue };
        let model = model();
        let talk = &model.talks[id as usize];
        if incoming.position >= talk.plan.turn {
            talk.early.answered.set(Some(incoming.position));
            stream.close().await?;
            has_ended = true;
            if id % 4 != 0 {
                return stream.into_handler(Rest::begin(std::mem::take(incoming))).map(drop);
            }
        }
    }
}

/// A handler that reads the rest of a connection whose output has ended: not always at once, and not at
/// each event.
#[derive(Debug)]
struct Rest {
    /// Whether it was opened and closed.
    life: Life,
    /// What has come.
    incoming: Incoming,
    /// That it waits for more.
    attention: Option<Attention>,
    /// Chance.
    rng: Rng,
    /// Whether it is told of each change once.
    is_edge: bool,
}

impl Rest {
    /// Makes the handler of a connection that a task has had before.
    fn begin(incoming: Incoming) -> Rest {
        let mut rng = Rng::with_seed(model().plan.seed ^ incoming.position as u64);
        let (life, is_edge) = (Life::begin("a handler of the rest"), one_in(&mut rng, 3));
        Rest { life, incoming, attention: None, rng, is_edge }
    }

    /// Asks to be told of input.
    fn resume(&self, cx: &mut EvContext<'_>) -> io::Result<()> {
        let level = Interest::READABLE;
        cx.set_interest(if self.is_edge { level.edge() } else { level })
    }

    /// Asks for nothing for a while.
    fn pause(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        self.attention = None;
        cx.set_timer(Duration::from_micros(self.rng.u64(0..100_000)));
        cx.set_interest(Interest::NONE)
    }

    /// Leaves what may be left of an edge for later: asks for edges anew, or for nothing until then.
    fn leave_the_rest(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        if one_in(&mut self.rng, 3) {
            return self.pause(cx);
        }
        if self.rng.bool() {
            cx.set_interest(Interest::NONE)?;
        }
        self.attention = Attention::of(cx, "a handler that asks for edges anew");
        self.resume(cx)
    }

    /// Reads once. Returns `true` at the end.
    fn read(&mut self, cx: &mut EvContext<'_>) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let most = if self.rng.bool() { buffer.len() } else { self.rng.usize(1..buffer.len()) };
        let count = cx.read_into(&mut buffer[..most])?;
        if !self.incoming.take(&buffer[..count]) {
            return Ok(true);
        }
        Ok(count == 0)
    }
}

impl EvHandler for Rest {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.set_deadlines(model().plan.deadlines())?;
        if self.rng.bool() {
            self.pause(cx)?
        } else {
            self.resume(cx)?
        }
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        self.attention = None;
        if !self.is_edge && one_in(&mut self.rng, 3) {
            return Ok(Action::Keep);
        }
        // An edge is told once: all that has come is read.
        while !self.read(cx)? {
            if !self.is_edge {
                self.attention = Attention::of(cx, "a handler of the rest");
                if one_in(&mut self.rng, 4) {
                    self.pause(cx)?;
                }
                return Ok(Action::Keep);
            }
            if one_in(&mut self.rng, 4) {
                self.leave_the_rest(cx)?;
                return Ok(Action::Keep);
            }
        }
        Ok(Action::Close)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.life.live();
        self.attention = Attention::of(cx, "a handler that has paused");
        self.resume(cx)?;
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.attention = None;
        let Some(id) = self.incoming.id() else { return };
        match reason {
            // It need not ask for the end itself.
            CloseReason::Requested | CloseReason::PeerClosed => self.incoming.end(),
            _ if model().may_break(id) => {}
            _ => model().violated(format_args!("the rest of connection {id} ends: {reason}")),
        }
    }
}

/// A handler that sends back a part of what comes, and closes.
#[derive(Debug)]
pub struct Brief {
    /// Whether it was opened and closed.
    life: Life,
    /// What has come.
    incoming: Incoming,
    /// Whether it has answered all that it answers.
    is_over: bool,
}

impl Brief {
    /// Makes the handler of a new connection.
    pub fn begin() -> Brief {
        let (life, incoming) = (Life::begin("a brief handler"), Incoming::default());
        Brief { life, incoming, is_over: false }
    }
}

impl EvHandler for Brief {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.set_deadlines(model().plan.deadlines())?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        if self.is_over {
            // There is something to read, and it is left.
            if let Some(id) = self.incoming.id() {
                model().talks[id as usize].early.closed_at.set(Some(now()));
            }
            return Ok(Action::Close);
        }
        let bytes = cx.read()?;
        if bytes.is_empty() {
            self.incoming.end();
            self.is_over = true;
            return Ok(Action::Close);
        }
        if !self.incoming.take(&bytes) {
            return Ok(Action::Close);
        }
        cx.write(&bytes)?;
        let Some(id) = self.incoming.id() else { return Ok(Action::Keep) };
        let model = model();
        let talk = &model.talks[id as usize];
        if self.incoming.position < talk.plan.turn {
            return Ok(Action::Keep);
        }
        self.is_over = true;
        talk.early.answered.set(Some(self.incoming.position));
        if id % 2 == 0 {
            return Ok(Action::Keep);
        }
        talk.early.closed_at.set(Some(now()));
        Ok(Action::Close)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        let is_right = self.is_over && matches!(reason, CloseReason::Requested);
        self.life.end_whole(is_right, &self.incoming, &reason);
    }
}
