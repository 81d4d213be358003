//! A handler that has each part of a connection sent back by the backend, over a connection of a pool
//! that another handler uses. Some answers come too late, and are given up.

use std::io;
use std::time::Duration;

use corepoll::{
    Action, CloseReason, EvContext, EvHandler, Interest, Notifier, TimerId, Writer, sim,
};
use fastrand::Rng;

use super::answers::{HEAD, Head};
use super::pool_task::{LIMIT, TRIES, pool};
use crate::attention::Attention;
use crate::life::Life;
use crate::model::{Incoming, model};
use crate::plan::one_in;

/// The side of the client.
#[derive(Debug)]
pub struct Front {
    /// Whether it was opened and closed.
    life: Life,
    /// What has come.
    incoming: Incoming,
    /// That it waits for more.
    attention: Option<Attention>,
    /// Whether the end has come.
    is_over: bool,
}

impl Front {
    /// Makes the handler of a new connection.
    pub fn begin() -> Front {
        Front {
            life: Life::begin("the front of a pool"),
            incoming: Incoming::default(),
            attention: None,
            is_over: false,
        }
    }
}

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.set_deadlines(model().plan.deadlines())?;
        self.attention = Attention::of(cx, "a handler with a pool");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        let mut buffer = [0; 4096];
        // The number of the connection whole: what is asked is asked by it.
        let most = if self.incoming.id().is_none() { 4 - self.incoming.known() } else { 4096 };
        let count = cx.read_into(&mut buffer[..most])?;
        let bytes = &buffer[..count];
        if bytes.is_empty() {
            self.incoming.end();
            self.attention = None;
            self.is_over = true;
            return Ok(Action::Close);
        }
        if !self.incoming.take(bytes) {
            return Ok(Action::Close);
        }
        let Some(id) = self.incoming.id().filter(|_| self.incoming.position > 0) else {
            cx.write(bytes)?;
            return Ok(Action::Keep);
        };
        // The next part is read when this one is answered.
        self.attention = None;
        cx.set_interest(Interest::NONE)?;
        let position = self.incoming.position as u32;
        let query = Query {
            life: Life::begin("a query"),
            request: Head { id, position, length: bytes.len() as u32, delay: 0 },
            bytes: bytes.to_vec(),
            answer: Vec::new(),
            tries: 0,
            front: (cx.writer(), cx.notifier()),
            rng: Rng::with_seed(sim::control().random()),
        };
        query.ask(cx);
        Ok(Action::Keep)
    }

    fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        cx.set_interest(Interest::READABLE)?;
        self.attention = Attention::of(cx, "a handler with a pool");
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.attention = None;
        self.life.end_whole(self.is_over, &self.incoming, &reason);
    }
}

/// The side of the backend: one request.
#[derive(Debug)]
struct Query {
    /// Whether it was opened and closed.
    life: Life,
    /// What is asked.
    request: Head,
    /// What is to be sent back.
    bytes: Vec<u8>,
    /// What has come so far.
    answer: Vec<u8>,
    /// How often it was asked before.
    tries: u32,
    /// Takes the answer, and is told of it.
    front: (Writer, Notifier),
    /// Chance.
    rng: Rng,
}

impl Query {
    /// Asks for a connection. The last answer is not given up.
    fn ask(mut self, cx: &mut EvContext<'_>) {
        let is_late = self.tries + 1 < TRIES && one_in(&mut self.rng, 3);
        self.request.delay = if is_late { self.rng.u32(0..1_000_000) } else { 0 };
        pool().get_with(cx, self);
    }

    /// Ends the connection of the client without an answer.
    fn give_up(&self) {
        model().excuse(self.request.id, "the backend does not answer");
        self.front.0.close();
    }
}

impl EvHandler for Query {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        cx.write(&self.request.to_bytes())?;
        cx.write(&self.bytes)?;
        let is_last = self.tries + 1 >= TRIES;
        let longest = model().plan.patience().unwrap_or(Duration::from_secs(3600));
        cx.set_timer(if is_last { longest } else { LIMIT });
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        let part = cx.read()?;
        if part.is_empty() {
            return Ok(Action::Close);
        }
        self.answer.extend_from_slice(&part);
        let Some((head, body)) = self.answer.split_first_chunk::<HEAD>() else {
            return Ok(Action::Keep);
        };
        self.request.check(Head::from_bytes(head))?;
        if body.len() < self.bytes.len() {
            return Ok(Action::Keep);
        }
        let body = body.to_vec();
        drop(part);
        cx.release()?;
        self.tries = TRIES;
        let is_sent = self.front.0.write(body).is_ok() && self.front.1.notify().is_ok();
        if !is_sent && !model().may_break(self.request.id) {
            model().violated(format_args!("{:?} has an answer too late", self.request));
        }
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, _cx: &mut EvContext<'_>, _timer: TimerId) -> io::Result<Action> {
        self.life.live();
        // In the middle of an answer: no other user may get this connection.
        Ok(Action::Close)
    }

    fn on_connect_fail(&mut self, _error: io::Error) {
        self.give_up();
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.tries += 1;
        if self.tries > TRIES {
            return;
        }
        if self.tries == TRIES || matches!(reason, CloseReason::Shutdown) {
            return self.give_up();
        }
        let query = Query {
            life: Life::begin("a query"),
            request: self.request,
            bytes: std::mem::take(&mut self.bytes),
            answer: Vec::new(),
            tries: self.tries,
            front: self.front.clone(),
            rng: self.rng.fork(),
        };
        query.ask(cx);
    }
}
