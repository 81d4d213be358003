//! The timers of connections: each connection has a list of its own, so that they end with it.

use crate::local::action::TimerId;
use crate::local::connection::OwnTimer;
use crate::local::deferred::HandlerTimer;
use std::time::Duration;

use crate::base::token::Token;
use crate::connection::{deadlines, persistent};
use crate::local::connection::{Connection, State};
use crate::local::context::EvContext;
use crate::local::deferred::TimerTarget;
use crate::local::state::Local;
use crate::sys::clock;

impl EvContext<'_> {
    /// Calls `on_timeout` once, when `delay` has passed: never early, by the monotonic clock.
    ///
    /// The delay begins now, not at [`EvContext::now`]. [`Duration::MAX`] is never. A timer ends
    /// with its connection: in `on_close`, and after [`take_stream`](EvContext::take_stream), nothing
    /// is armed, and the answer is [`TimerId::NONE`].
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler, TimerId};
    /// use std::io;
    /// use std::time::Duration;
    ///
    /// const IDLE: Duration = Duration::from_secs(30);
    ///
    /// #[derive(Default)]
    /// struct Session {
    ///     idle: Option<TimerId>,
    /// }
    ///
    /// impl EvHandler for Session {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         self.idle = Some(cx.set_timer(IDLE));
    ///         Ok(Action::Keep)
    ///     }
    ///
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let is_over = cx.read()?.is_empty();
    ///         if let Some(idle) = self.idle {
    ///             cx.reset_timer(idle, IDLE);
    ///         }
    ///         Ok(if is_over { Action::Close } else { Action::Keep })
    ///     }
    ///
    ///     fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
    ///         Ok(Action::Close)
    ///     }
    /// }
    /// ```
    pub fn set_timer(&mut self, delay: Duration) -> TimerId {
        self.arm_timer(delay, None)
    }

    /// Calls `on_timeout` every time that `every` has passed. Periods that went by during a busy
    /// turn are made up by one call; the phase stays. With [`Duration::ZERO`] it is called once
    /// a turn.
    ///
    /// In `on_close`, and after [`take_stream`](EvContext::take_stream), nothing is armed, and the
    /// answer is [`TimerId::NONE`].
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.set_interval(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
    ///     cx.write(b"tick ")?;
    ///     # return Ok(Action::Close);
    ///     Ok(Action::Keep)
    /// }
    /// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     cx.read().map(|_| Action::Keep)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, ""), "tick ");
    /// ```
    pub fn set_interval(&mut self, every: Duration) -> TimerId {
        self.arm_timer(every, Some(u64::try_from(every.as_nanos()).unwrap_or(clock::NEVER)))
    }

    fn arm_timer(&mut self, delay: Duration, period: Option<u64>) -> TimerId {
        let deadline = clock::after(clock::now(), delay);
        TimerId(add(self.local, self.connection, deadline, period))
    }

    /// Makes `timer` due when `delay` from now has passed; postponing is a store. A spent
    /// one-shot, reset in its own callback, is armed again. False: it is spent, or not a timer
    /// of this connection.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let timer = cx.set_timer(Duration::from_secs(30));
    ///     // Thirty seconds from now, once more.
    ///     assert!(cx.reset_timer(timer, Duration::from_secs(30)));
    ///     cx.write(b"reset")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "reset");
    /// ```
    pub fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool {
        let mut timers = self.local.timers.borrow_mut();
        match timers.get(timer.0) {
            Some(TimerTarget::Handler(entry)) if entry.connection == self.connection.token => {
                timers.reset(timer.0, clock::after(clock::now(), delay))
            }
            _ => false,
        }
    }

    /// Takes `timer` back, even one that is due in this very turn. False: it is spent, or not a
    /// timer of this connection.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let timer = cx.set_timer(Duration::from_secs(30));
    ///     assert!(cx.cancel_timer(timer));
    ///     assert!(!cx.cancel_timer(timer));
    ///     cx.write(b"cancelled")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "cancelled");
    /// ```
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        cancel(self.local, self.connection, timer)
    }
}

/// A new timer, the last in the connection's list.
fn add(local: &Local, connection: &Connection, deadline: u64, period: Option<u64>) -> Token {
    if connection.state() == State::Closed {
        // In `on_close` the timers are gone already: this one is as well.
        return TimerId::NONE.0;
    }
    connection.with_extra(|extra| {
        // Each has a slot of the poller's timers, and the numbers of slots have 32 bits.
        let place = extra.timers.len() as u32;
        let entry = HandlerTimer { connection: connection.token, place };
        let timer = local.arm(deadline, TimerTarget::Handler(entry));
        extra.timers.push(OwnTimer { timer, period });
        timer
    })
}

fn cancel(local: &Local, connection: &Connection, timer: TimerId) -> bool {
    let timers = local.timers.borrow_mut();
    match timers.get(timer.0) {
        Some(TimerTarget::Handler(entry)) if entry.connection == connection.token => {}
        _ => return false,
    }
    let was_armed = timers.is_armed(timer.0);
    if was_armed {
        drop(timers);
        remove(local, connection, timer.0);
    }
    was_armed
}

/// Takes a timer out of the table and of its connection's list.
pub(crate) fn remove(local: &Local, connection: &Connection, token: Token) {
    let mut timers = local.timers.borrow_mut();
    let Some(TimerTarget::Handler(HandlerTimer { place, .. })) = timers.remove(token) else {
        return;
    };
    connection.with_present_extra(|extra| {
        extra.timers.swap_remove(place as usize);
        // The last one has its place now.
        let moved = extra.timers.get(place as usize).and_then(|own| timers.get_mut(own.timer));
        if let Some(TimerTarget::Handler(moved)) = moved {
            moved.place = place;
        }
    });
}

/// The connection ends, and its timers with it.
pub(crate) fn remove_all(local: &Local, connection: &Connection) {
    deadlines::remove(local, connection);
    persistent::stop_rereading(local, connection);
    let own = connection.with_present_extra(|extra| std::mem::take(&mut extra.timers));
    let mut timers = local.timers.borrow_mut();
    for OwnTimer { timer, .. } in own.unwrap_or_default() {
        // What a handler's timer carries is plain.
        drop(timers.remove(timer));
    }
}
