//! A handler that sends back what it gets: at once or by another poller, with watermarks, timers,
//! and, if it is planned, a panic or a hand-over to a task in mid-stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest, TimerId};
use fastrand::Rng;

use super::echo_task;
use super::handler_timers::HandlerTimers;
use crate::model::{Attention, Incoming, Life, model};
use crate::plan::{Service, TalkPlan};

/// The handler.
#[derive(Debug)]
pub struct Echo {
    /// Whether it was opened and closed.
    life: Life,
    /// What has come.
    incoming: Incoming,
    /// That it waits for more.
    attention: Option<Attention>,
    /// Chance.
    rng: Rng,
    /// Its timers.
    timers: HandlerTimers,
    /// The number of answers that other pollers have not sent yet.
    detours: Arc<AtomicUsize>,
    /// Whether it has asked for watermarks.
    is_set_up: bool,
    /// Whether the end has come.
    is_over: bool,
    /// The bytes since it has the connection.
    turn: usize,
}

impl Echo {
    /// Makes the handler of a connection that a task has had before.
    pub fn resume(incoming: Incoming) -> Echo {
        let seed = incoming.id().unwrap_or(0) as usize ^ incoming.position;
        Echo {
            life: Life::begin("an echo handler"),
            incoming,
            attention: None,
            rng: Rng::with_seed(model().plan.seed ^ seed as u64),
            timers: HandlerTimers::default(),
            detours: Arc::default(),
            is_set_up: false,
            is_over: false,
            turn: 0,
        }
    }

    /// Notes that it waits for something to read.
    fn attend(&mut self, cx: &EvContext<'_>) {
        if let (Ok(local), Ok(peer)) = (cx.local_addr(), cx.peer_addr()) {
            self.attention = Some(model().attend(local, peer, "a handler"));
        }
    }

    /// Takes bytes that have come, and answers them.
    fn on_bytes(&mut self, cx: &mut EvContext<'_>, bytes: &[u8]) -> io::Result<Action> {
        let before = self.incoming.position;
        if !self.incoming.take(bytes) {
            return Ok(Action::Close);
        }
        let Some(id) = self.incoming.id() else {
            cx.write(bytes)?;
            return Ok(Action::Keep);
        };
        let model = model();
        let plan = &model.talks[id as usize].plan;
        if let Some((low, high)) = plan.watermarks.filter(|_| !self.is_set_up) {
            cx.set_watermarks(low, high);
        }
        self.is_set_up = true;
        if plan.panics_at.is_some_and(|at| (before..=self.incoming.position).contains(&at)) {
            model.excuse(id, "its handler has panicked");
            panic!("planned");
        }
        self.answer(cx, id, plan, bytes)?;
        self.timers.change(cx, &mut self.rng);
        self.turn += bytes.len();
        if plan.service == Service::HandOver && self.turn >= plan.turn {
            self.hand_over(cx, id)?;
        }
        Ok(Action::Keep)
    }

    /// Sends bytes back: at once, or by another poller.
    fn answer(
        &mut self,
        cx: &mut EvContext<'_>,
        id: u32,
        plan: &TalkPlan,
        bytes: &[u8],
    ) -> io::Result<()> {
        // Once a part goes by another poller, the next ones must, until that has sent it.
        let is_under_way = self.detours.load(Ordering::Relaxed) > 0;
        if !is_under_way && self.rng.f64() >= plan.detours {
            return if self.rng.bool() || bytes.len() < 2 {
                cx.write(bytes)
            } else {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                cx.write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)])
            };
        }
        let (writer, bytes) = (cx.writer(), Bytes::copy_from_slice(bytes));
        self.detour(cx, id, move || {
            if let Err(error) = writer.write(bytes) {
                let model = model();
                if !model.may_break(id) {
                    model.violated(format_args!("a writer of connection {id} fails: {error}"));
                }
            }
        });
        Ok(())
    }

    /// Has another poller do something for this connection: always the same one, in order.
    fn detour(&mut self, cx: &EvContext<'_>, id: u32, work: impl FnOnce() + Send + 'static) {
        let reactor = cx.reactor();
        let other = &reactor.pollers()[id as usize % reactor.pollers().len()];
        let counter = self.detours.clone();
        counter.fetch_add(1, Ordering::Relaxed);
        let sent = other.run_on(move || {
            work();
            counter.fetch_sub(1, Ordering::Relaxed);
        });
        if sent.is_err() && !model().may_break(id) {
            model().violated(format_args!("a poller is gone for connection {id}"));
        }
    }

    /// Gives the connection to a task.
    fn hand_over(&mut self, cx: &mut EvContext<'_>, id: u32) -> io::Result<()> {
        if self.detours.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        match cx.take_stream() {
            Ok(stream) => {
                self.life.end();
                self.attention = None;
                let incoming = std::mem::take(&mut self.incoming);
                drop(cx.spawn_local(echo_task::echo(stream, incoming)));
                Ok(())
            }
            Err(error) => {
                if !model().may_break(id) {
                    model().violated(format_args!("take_stream of connection {id}: {error}"));
                }
                Err(error)
            }
        }
    }

    /// Ends the connection when the last answer is sent.
    fn on_end(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.incoming.end();
        self.attention = None;
        self.is_over = true;
        let Some(id) = self.incoming.id().filter(|_| self.detours.load(Ordering::Relaxed) > 0)
        else {
            return Ok(Action::Close);
        };
        cx.set_interest(Interest::NONE)?;
        let writer = cx.writer();
        self.detour(cx, id, move || writer.close());
        Ok(Action::Keep)
    }
}

impl EvHandler for Echo {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        self.attend(cx);
        self.timers.arm(cx, &mut self.rng);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        let plan = self.incoming.id().map(|id| model().talks[id as usize].plan.clone());
        let Some(plan) = plan.filter(|plan| plan.skips > 0.0 || plan.read < 4096) else {
            let bytes = cx.read()?;
            return if bytes.is_empty() { self.on_end(cx) } else { self.on_bytes(cx, &bytes) };
        };
        if self.rng.f64() < plan.skips {
            return Ok(Action::Keep);
        }
        let mut buffer = vec![0; plan.read];
        let count = cx.read_into(&mut buffer)?;
        if count == 0 { self.on_end(cx) } else { self.on_bytes(cx, &buffer[..count]) }
    }

    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        self.attention = None;
        cx.set_interest(Interest::NONE)?;
        Ok(Action::Keep)
    }

    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        if !self.is_over {
            cx.set_interest(Interest::READABLE)?;
            self.attend(cx);
        }
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        self.life.live();
        self.timers.fired(timer);
        self.timers.change(cx, &mut self.rng);
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.attention = None;
        let model = model();
        let Some(id) = self.incoming.id() else { return };
        let is_right = match reason {
            CloseReason::Requested => self.is_over || model.may_break(id),
            CloseReason::Shutdown => model.is_shut_down.get(),
            _ => model.may_break(id),
        };
        if !is_right {
            let at = self.incoming.position;
            model.violated(format_args!("connection {id} ends at {at}: {reason}"));
        }
    }
}
