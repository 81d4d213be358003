//! Connections whose silence is limited: by the deadlines of handlers and of streams, and by
//! timeouts of tasks. They end when their limit is over, and never while bytes lie there that came
//! before it.

use std::io;
use std::time::Instant;

use corepoll::net::TcpStream;
use corepoll::{
    Action, CloseReason, Deadlines, EvContext, EvHandler, Listening, ReactorHandle, sim, time,
};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::relay;
use crate::attention::Attention;
use crate::life::Life;
use crate::model::{Ends, Incoming, model, now};
use crate::plan::Service;
use crate::server::{self, persist, serve_by};

/// Listens for these connections.
///
/// # Errors
///
/// Returns what the listeners return.
pub fn listen(reactor: &ReactorHandle) -> io::Result<Vec<Listening>> {
    let begin_limited = relay::Front::begin_limited;
    Ok(vec![
        persist(|| server::listen(Service::TimedHandler).listen(reactor, Echo::begin))?,
        serve_by(reactor, Service::TimedTask, echo)?,
        serve_by(reactor, Service::TimedTaskRelay, relay::within_limit)?,
        persist(|| server::listen(Service::TimedHandlerRelay).listen(reactor, begin_limited))?,
    ])
}

/// Returns `true` if an error is that of a limit, and not that of a connection whose packets are
/// not confirmed.
pub fn is_limit(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// A handler that sends back what it gets, and has a read deadline or an idle deadline.
#[derive(Debug)]
struct Echo {
    /// Whether it was opened and closed.
    life: Life,
    /// What has come.
    incoming: Incoming,
    /// That it waits for more.
    attention: Option<Attention>,
    /// The addresses of both ends.
    ends: Option<Ends>,
    /// When bytes moved last, as far as it knows: not later than they did.
    last: Instant,
    /// Whether its deadline is one for both directions.
    is_idle: bool,
    /// Whether the end has come.
    is_over: bool,
}

impl Echo {
    /// Makes the handler of a new connection.
    fn begin() -> Echo {
        Echo {
            life: Life::begin("a handler with a deadline"),
            incoming: Incoming::default(),
            attention: None,
            ends: None,
            last: now(),
            is_idle: false,
            is_over: false,
        }
    }

    /// Checks a deadline that was missed.
    fn check_missed(&self) {
        let model = model();
        let due = self.last + model.plan.timing.limit;
        // Output that goes in parts moves an idle deadline, and only its end is told.
        let seen = if self.is_idle { due.max(now()) } else { due };
        model.check_due("the deadline of a handler", seen, now());
        if now() < due {
            model.violated("the idle deadline of a handler is early");
        }
        if let Some(ends) = self.ends {
            model.check_not_overtaken("the deadline of a handler", ends, due);
        }
    }
}

impl EvHandler for Echo {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        let (local, peer) = (cx.local_addr()?, cx.peer_addr()?);
        self.ends = Some((local, peer));
        self.attention = Some(model().attend(local, peer, "a handler with a deadline"));
        self.is_idle = peer.port().is_multiple_of(2);
        self.last = now();
        let limit = Some(model().plan.timing.limit);
        let none = Deadlines::default();
        cx.set_deadlines(match self.is_idle {
            true => Deadlines { idle: limit, ..none },
            false => Deadlines { read: limit, ..none },
        })?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        self.last = cx.now();
        let bytes = cx.read()?;
        if bytes.is_empty() {
            self.incoming.end();
            self.attention = None;
            self.is_over = true;
            return Ok(Action::Close);
        }
        if !self.incoming.take(&bytes) {
            return Ok(Action::Close);
        }
        cx.write(&bytes)?;
        let computes = model().plan.timing.computes;
        if !computes.is_zero() && self.incoming.position % 4 == 1 {
            sim::compute(computes);
        }
        Ok(Action::Keep)
    }

    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        if self.is_idle {
            self.last = cx.now();
        }
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end();
        self.attention = None;
        let model = model();
        let is_excused = self.incoming.id().is_none_or(|id| model.is_excused(id));
        let is_right = match &reason {
            CloseReason::Error(error) if is_limit(error) => return self.check_missed(),
            CloseReason::Requested => self.is_over || is_excused,
            CloseReason::Shutdown => model.is_shut_down.get(),
            _ => is_excused,
        };
        if !is_right {
            model.violated(format_args!("a connection with a deadline ends: {reason}"));
        }
    }
}

/// Sends back what comes. Each wait has a limit, by a deadline or by a timeout.
async fn echo(mut stream: TcpStream) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let limit = model().plan.timing.limit;
    let has_deadline = peer.port().is_multiple_of(2);
    if has_deadline {
        stream.set_deadlines(Deadlines { read: Some(limit), ..Deadlines::default() });
    }
    let (mut incoming, mut buffer) = (Incoming::default(), [0; 64]);
    loop {
        let attention = model().attend(local, peer, "a task with a limit");
        let begun = now();
        let read = match has_deadline {
            true => stream.read(&mut buffer).await,
            false => match time::timeout(limit, stream.read(&mut buffer)).await {
                Ok(read) => read,
                Err(elapsed) => Err(elapsed.into()),
            },
        };
        drop(attention);
        let count = match read {
            Ok(0) => return incoming.end(),
            Ok(count) => count,
            Err(error) => {
                if is_limit(&error) {
                    let (due, model) = (begun + limit, model());
                    model.check_due("the limit of a task", due, now());
                    model.check_not_overtaken("the limit of a task", (local, peer), due);
                }
                return;
            }
        };
        if !incoming.take(&buffer[..count]) || stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
