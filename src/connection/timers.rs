//! The timers of handlers. Each connection has a list of its own, so that they end with it.
//!
//! A timer stands in the poller's timers and in the list of its connection. Each of the two entries
//! names the other, so that no search is needed to remove a timer from both.
//!
//! A one-shot timer keeps its entry until its callback has returned, so that the callback can arm
//! it again by the same number. An interval is armed for its next tick before its callback is
//! called.

use std::time::Duration;

use crate::base::token::Token;
use crate::connection::{deadlines, persistent};
use crate::local::action::TimerId;
use crate::local::connection::{Connection, OwnTimer};
use crate::local::context::EvContext;
use crate::local::deferred::{HandlerTimer, TimerTarget};
use crate::local::flags::State;
use crate::local::state::Local;
use crate::parts::timers::Timers;
use crate::sys::clock;

impl EvContext<'_> {
    /// Arms a timer that calls `on_timeout` once, when `delay` has passed: never early, by the
    /// monotonic clock.
    ///
    /// The delay begins now, not at [`EvContext::now`]. A delay of [`Duration::MAX`] never ends. A
    /// timer ends with its connection: in `on_close`, and after
    /// [`take_stream`](EvContext::take_stream), nothing is armed, and this returns
    /// [`TimerId::NONE`].
    ///
    /// # Examples
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

    /// Arms a timer that calls `on_timeout` each time that `every` has passed.
    ///
    /// If several periods have passed during a busy turn, one call stands for all of them, and the
    /// next ones keep the phase. With [`Duration::ZERO`] there is one call a turn.
    ///
    /// In `on_close`, and after [`take_stream`](EvContext::take_stream), nothing is armed, and this
    /// returns [`TimerId::NONE`].
    ///
    /// # Examples
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
        // A period that is longer than the clock can count never ends, as a delay doesn't.
        self.arm_timer(every, Some(u64::try_from(every.as_nanos()).unwrap_or(clock::NEVER)))
    }

    /// Arms a timer of this connection. `period` is in nanoseconds.
    fn arm_timer(&mut self, delay: Duration, period: Option<u64>) -> TimerId {
        // A fresh reading of the clock: a delay that began at the turn's time would end early by as
        // long as the turn has taken.
        let deadline = clock::after(clock::now(), delay);
        TimerId(add(self.local, self.connection, deadline, period))
    }

    /// Makes `timer` due when `delay` from now has passed, and returns `true`. Postponing a timer
    /// costs a store. A one-shot timer may be reset in its own callback, and is armed again then.
    ///
    /// Returns `false` if the timer is spent or cancelled, or not a timer of this connection.
    ///
    /// # Examples
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
        belongs_to(timers.get(timer.0), self.connection)
            && timers.reset(timer.0, clock::after(clock::now(), delay))
    }

    /// Cancels `timer`, even one that is due in this very turn, and returns `true`.
    ///
    /// Returns `false` if the timer is spent or cancelled already, or not a timer of this
    /// connection.
    ///
    /// # Examples
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

/// Arms a new timer, and puts it at the end of the connection's list.
fn add(local: &Local, connection: &Connection, deadline: u64, period: Option<u64>) -> Token {
    if connection.state() == State::Closed {
        // In `on_close` the timers are gone already: nothing would ever take this one away.
        return TimerId::NONE.0;
    }
    connection.with_extra(|extra| {
        // Every timer has a slot among the poller's, and their numbers have 32 bits: nothing is
        // cut.
        let place = extra.timers.len() as u32;
        let entry = HandlerTimer { connection: connection.token(), place };
        let timer = local.arm(deadline, TimerTarget::Handler(entry));
        extra.timers.push(OwnTimer { timer, period });
        timer
    })
}

/// Removes an armed timer of this connection. Returns `false` if there is no such timer.
fn cancel(local: &Local, connection: &Connection, timer: TimerId) -> bool {
    let mut timers = local.timers.borrow_mut();
    // One that is firing is not armed: it goes when its callback returns.
    let is_armed = belongs_to(timers.get_armed(timer.0), connection);
    if is_armed {
        remove_from(&mut timers, connection, timer.0);
    }
    is_armed
}

/// Returns `true` if `timer` is a handler's timer, and that of this connection. A handler may hold
/// the number of a timer that is another connection's.
fn belongs_to(timer: Option<&TimerTarget>, connection: &Connection) -> bool {
    matches!(timer, Some(TimerTarget::Handler(entry)) if entry.connection == connection.token())
}

/// Removes a timer from the poller's timers and from its connection's list.
pub(crate) fn remove(local: &Local, connection: &Connection, token: Token) {
    remove_from(&mut local.timers.borrow_mut(), connection, token);
}

/// Does the work of [`remove`] with the poller's timers at hand.
fn remove_from(timers: &mut Timers<TimerTarget>, connection: &Connection, token: Token) {
    let Some(TimerTarget::Handler(HandlerTimer { place, .. })) = timers.remove(token) else {
        return;
    };
    connection.with_present_extra(|extra| {
        // swap_remove, since the order of the list means nothing: the heap has the order.
        extra.timers.swap_remove(place as usize);
        // The last of the list has moved to its place.
        let moved = extra.timers.get(place as usize).and_then(|own| timers.get_mut(own.timer));
        if let Some(TimerTarget::Handler(moved)) = moved {
            moved.place = place;
        }
    });
}

/// Removes all timers of a connection that ends: its handler's, and those of its deadlines and of a
/// hang-up with unread bytes.
pub(crate) fn remove_all(local: &Local, connection: &Connection) {
    deadlines::remove(local, connection);
    persistent::stop_rereading(local, connection);
    // The whole list at once. Each timer by `remove` would move entries that go as well.
    let own = connection.with_present_extra(|extra| std::mem::take(&mut extra.timers));
    let mut timers = local.timers.borrow_mut();
    for OwnTimer { timer, .. } in own.unwrap_or_default() {
        // The entry of a handler's timer is two numbers: dropping it runs no foreign code.
        drop(timers.remove(timer));
    }
}
