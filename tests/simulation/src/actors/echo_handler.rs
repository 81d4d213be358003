//! A handler that sends back what it gets: at once or by another poller, with watermarks, timers,
//! and, if it is planned, a panic or a hand-over to a task in mid-stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corepoll::{Action, CloseReason, EvContext, EvHandler, Interest, TimerId};
use fastrand::Rng;

use super::echo_task;
use super::handler_timers::HandlerTimers;
use super::output::behind_empty_slices;
use super::unopened::close_unopened;
use crate::attention::Attention;
use crate::life::Life;
use crate::model::{Incoming, model};
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
    /// Whether it is told of edges.
    is_edge: bool,
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
            is_edge: false,
        }
    }

    /// Takes bytes that have come, and answers them.
    fn on_bytes(&mut self, cx: &mut EvContext<'_>, bytes: &[u8]) -> io::Result<Action> {
        let before = self.incoming.position;
        if !self.incoming.take(bytes) {
            return Ok(self.life.close());
        }
        let Some(id) = self.incoming.id() else {
            cx.write(bytes)?;
            return Ok(Action::Keep);
        };
        let model = model();
        model.serves(id);
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
        self.timers.check_ended(cx);
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
            if plan.empty_slices {
                return cx.write_vectored(&behind_empty_slices(bytes));
            }
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

    /// Ends the connection, or leaves that to a stream that nothing holds: it sends what is queued, too.
    fn last_answer(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if self.rng.bool() {
            return Ok(self.life.close());
        }
        // There may be no descriptor for the stream.
        let Ok(stream) = cx.take_stream() else { return Ok(self.life.close()) };
        self.life.end();
        if self.rng.bool() {
            drop(stream);
            return Ok(Action::Keep);
        }
        close_unopened(cx, stream)?;
        Ok(Action::Keep)
    }

    /// Returns what it asks for while it reads. Some handlers are told of edges.
    fn readable(&self) -> Interest {
        if self.is_edge { Interest::READABLE.edge() } else { Interest::READABLE }
    }

    /// Reads once. An empty read is the end.
    fn read_some(&mut self, cx: &mut EvContext<'_>, most: Option<usize>) -> io::Result<Action> {
        let Some(most) = most else {
            let bytes = cx.read()?;
            return if bytes.is_empty() { self.on_end(cx) } else { self.on_bytes(cx, &bytes) };
        };
        let mut buffer = vec![0; most];
        let count = cx.read_into(&mut buffer)?;
        if count == 0 { self.on_end(cx) } else { self.on_bytes(cx, &buffer[..count]) }
    }

    /// Ends the connection when the last answer is sent.
    fn on_end(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.incoming.end();
        self.attention = None;
        self.is_over = true;
        let Some(id) = self.incoming.id().filter(|_| self.detours.load(Ordering::Relaxed) > 0)
        else {
            return self.last_answer(cx);
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
        cx.set_deadlines(model().plan.deadlines())?;
        self.is_edge = self.rng.u32(0..4) == 0;
        cx.set_interest(self.readable())?;
        self.attention = Attention::of(cx, "a handler");
        self.timers.arm(cx, &mut self.rng);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        let plan = self.incoming.id().map(|id| model().talks[id as usize].plan.clone());
        let plan = plan.filter(|plan| plan.skips > 0.0 || plan.read < 4096);
        let most = plan.as_ref().map(|plan| plan.read);
        if !self.is_edge {
            let skips = plan.map_or(0.0, |plan| plan.skips);
            let skips_this = skips > 0.0 && self.rng.f64() < skips;
            return if skips_this { Ok(Action::Keep) } else { self.read_some(cx, most) };
        }
        // Until it is said that there is nothing, or the connection is no longer its own.
        while !self.is_over && self.life.is_open() {
            let action = self.read_some(cx, most)?;
            if !matches!(action, Action::Keep) {
                return Ok(action);
            }
        }
        Ok(Action::Keep)
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
            cx.set_interest(self.readable())?;
            self.attention = Attention::of(cx, "a handler");
        }
        Ok(Action::Keep)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        self.life.live();
        self.timers.fired(cx, timer);
        if self.rng.bool() {
            self.timers.change(cx, &mut self.rng);
        }
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.shut_down();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
        if cx.set_timer(Duration::from_millis(1)) != TimerId::NONE {
            model().violated("a timer was armed in on_close");
        }
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
