//! The timers of connections: each connection has a list of its own, so that they end with it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::base::token::Token;
use crate::sys::clock;
use crate::task::ignore_panic;

use crate::local::connection::{Connection, Extra, State};
use crate::local::context::EvContext;
use crate::local::state::{Local, TimerTarget};

/// Names one timer of one connection.
///
/// ```
/// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
/// # use example::*;
/// # #[derive(Default)]
/// struct Session {
///     answer: Option<TimerId>,
///     idle: Option<TimerId>,
/// }
///
/// # impl EvHandler for Session {
/// # fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
/// #     self.answer = Some(cx.set_timer(Duration::from_millis(1)));
/// #     self.idle = Some(cx.set_timer(Duration::from_secs(60)));
/// #     Ok(Action::Keep)
/// # }
/// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
/// #     cx.read().map(|_| Action::Keep)
/// # }
/// fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
///     if self.answer == Some(timer) {
///         cx.write(b"answer")?;
///     }
///     Ok(Action::Close)
/// }
/// # }
/// # assert_eq!(ask(Session::default(), ""), "answer");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(pub(crate) Token);

impl TimerId {
    /// No timer: what a connection that has ended is given, as in
    /// [`on_close`](crate::EvHandler::on_close), where its timers are gone and no new one is armed. It can be
    /// neither reset nor cancelled.
    ///
    /// ```
    /// use corepoll::{Action, CloseReason, EvContext, EvHandler, TimerId};
    /// use std::{io, time::Duration};
    ///
    /// struct Session;
    ///
    /// impl EvHandler for Session {
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Close)
    ///     }
    ///
    ///     fn on_close(&mut self, cx: &mut EvContext<'_>, _: CloseReason) {
    ///         // Too late.
    ///         assert_eq!(cx.set_timer(Duration::from_secs(1)), TimerId::NONE);
    ///     }
    /// }
    /// ```
    pub const NONE: TimerId = TimerId(Token::new(u32::MAX, u32::MAX));
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == TimerId::NONE {
            return f.write_str("TimerId(none)");
        }
        f.debug_tuple("TimerId").field(&self.0).finish()
    }
}

/// A timer of a connection, as the poller's timers have it: two words, since every arming moves it.
pub(crate) struct HandlerTimer {
    /// Whose it is.
    connection: Token,
    /// Its place in the connection's list.
    place: u32,
}

/// A timer of a connection, as the connection has it.
pub(crate) struct OwnTimer {
    /// Its name.
    timer: Token,
    /// Nanoseconds, if it comes again and again.
    period: Option<u64>,
}

/// Something of ours, above the poller, that has a timer.
pub(crate) trait OnTimer {
    /// The timer is due, and gone.
    fn on_timer(self: Rc<Self>);

    /// The poller ends, and the timer with it.
    fn on_end(self: Rc<Self>) {}
}

impl TimerTarget {
    /// The poller ends.
    pub(crate) fn end(self) {
        if let TimerTarget::Ours(ours) = self {
            ours.on_end();
        }
    }
}

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
        TimerId(self.local.add_timer(self.connection, deadline, period))
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
        self.local.cancel_timer(self.connection, timer)
    }
}

impl Local {
    /// A new timer, the last in the connection's list.
    fn add_timer(&self, connection: &Connection, deadline: u64, period: Option<u64>) -> Token {
        if connection.state() == State::Closed {
            // In `on_close` the timers are gone already: this one is as well.
            return TimerId::NONE.0;
        }
        connection.with_extra(|extra| {
            // Each has a slot of the poller's timers, and the numbers of slots have 32 bits.
            let place = extra.timers.len() as u32;
            let entry = HandlerTimer { connection: connection.token, place };
            let timer = self.arm(deadline, TimerTarget::Handler(entry));
            extra.timers.push(OwnTimer { timer, period });
            timer
        })
    }

    fn cancel_timer(&self, connection: &Connection, timer: TimerId) -> bool {
        let timers = self.timers.borrow_mut();
        match timers.get(timer.0) {
            Some(TimerTarget::Handler(entry)) if entry.connection == connection.token => {}
            _ => return false,
        }
        let was_armed = timers.is_armed(timer.0);
        if was_armed {
            drop(timers);
            self.remove_timer(connection, timer.0);
        }
        was_armed
    }

    /// Takes a timer out of the table and of its connection's list.
    fn remove_timer(&self, connection: &Connection, token: Token) {
        let mut timers = self.timers.borrow_mut();
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
    pub(crate) fn remove_timers(&self, connection: &Connection) {
        self.end_timing(connection);
        self.end_skipping(connection);
        let own = connection.with_present_extra(|extra| std::mem::take(&mut extra.timers));
        let mut timers = self.timers.borrow_mut();
        for OwnTimer { timer, .. } in own.unwrap_or_default() {
            // What a handler's timer carries is plain.
            drop(timers.remove(timer));
        }
    }

    /// Fires what was due when the events were looked at, one at a time.
    pub(crate) fn fire_timers(&self) {
        if !self.has_timers() {
            return;
        }
        let pass = self.timers.borrow_mut().begin(self.looked_at());
        if self.begin_phase(1) == 0 {
            return;
        }
        for fired in 1..=self.budget.timers_per_turn {
            let Some(token) = ({ self.timers.borrow_mut().take_due(pass) }) else { return };
            self.fire(token);
            self.recorder.fired();
            if self.go_on_with_phase(fired) == 0 {
                return;
            }
        }
    }

    /// Whether a timer is due that the next pass would fire.
    #[cold]
    pub(crate) fn is_timer_due(&self) -> bool {
        self.next_deadline().is_some_and(|deadline| deadline <= self.looked_at())
    }

    /// Fires one timer, which is disarmed already.
    fn fire(&self, token: Token) {
        let mut timers = self.timers.borrow_mut();
        if let Some(&TimerTarget::Handler(HandlerTimer { connection, place })) = timers.get(token) {
            drop(timers);
            return self.fire_handler(token, connection, place);
        }
        let expiry = timers.remove(token);
        drop(timers);
        match expiry {
            Some(TimerTarget::Task(waker)) => ignore_panic(|| waker.wake()),
            Some(TimerTarget::Linger(connection)) => self.patience_is_over(connection),
            Some(TimerTarget::Look(token)) => self.look_again(token),
            Some(TimerTarget::Pipes) => self.trim_pipes(),
            Some(TimerTarget::Deadline(token)) => self.deadline_has_come(token),
            Some(TimerTarget::Connect(attempt)) => self.connect_timer(attempt),
            Some(TimerTarget::Ours(ours)) => ignore_panic(|| ours.on_timer()),
            _ => {}
        }
    }

    fn fire_handler(&self, token: Token, connection: Token, place: u32) {
        let Some(connection) = self.connection(connection) else { return };
        let own = |extra: &mut Extra| extra.timers.get(place as usize).and_then(|own| own.period);
        if let Some(period) = connection.with_present_extra(own).flatten() {
            self.rearm(token, period);
        }
        self.call_aside(&connection, |handler, cx| handler.on_timeout(cx, TimerId(token)));
        // A one-shot that its callback did not arm again is gone.
        if !self.timers.borrow().is_armed(token) {
            self.remove_timer(&connection, token);
        }
    }

    /// Makes an interval due at its next beat after now.
    fn rearm(&self, token: Token, period: u64) {
        let mut timers = self.timers.borrow_mut();
        let Some(deadline) = timers.deadline(token) else { return };
        let missed = (self.now() - deadline.min(self.now())) / period.max(1);
        let next = deadline.saturating_add(period.saturating_mul(missed.saturating_add(1)));
        // Not before now, or a period of nothing would stay ahead of everybody else's timers.
        timers.reset(token, next.max(self.now()));
    }
}
