//! What waits for its phase: calls for the end of the turn, and timers for their time.

use std::io;
use std::rc::Rc;
use std::task::Waker;

use crate::base::token::Token;
use crate::local::action::CloseReason;
use crate::local::handler::EvHandler;

/// What is to be done at the end of the turn: calls wait for their phase.
pub(crate) enum Deferred {
    /// `on_open`.
    Open(Token),
    /// Flush what can be flushed, `on_close`, and away.
    Close(Token, CloseReason),
    /// poll(2), for a connection whose error queue is not empty: see `connection::persistent`.
    Recheck(Token),
    /// Another `on_read`: the event's budget was spent, and edge-triggering won't tell again.
    Reread(Token),
    /// `on_connect_fail`: the attempt has failed at once, or was closed.
    ConnectFail(Token, io::Error),
    /// `on_connect_fail`, of a handler that has no connection.
    Refuse(Box<dyn EvHandler>, io::Error),
    /// More output: the event's budget was spent, and edge-triggering won't tell again.
    Flush(Token),
    /// `on_write_high`.
    WriteHigh(Token),
    /// `on_write_low`.
    WriteLow(Token),
    /// A descriptor has been closed: those that wait for one are told.
    Closed,
    /// Descriptors have run out: connections that only linger are closed.
    MakeRoom,
}

/// What a timer is for.
pub(crate) enum TimerTarget {
    /// A handler's `on_timeout`.
    Handler(HandlerTimer),
    /// The end of a closing connection's patience.
    Linger(Token),
    /// Another `on_read` of a connection whose peer has hung up and whose handler leaves bytes unread.
    Reread(Token),
    /// A deadline of a connection, or of a stream of tasks.
    Deadline(Token),
    /// The deadline of an attempt to connect, or its next try.
    Connect(Token),
    /// A task.
    Task(Waker),
    /// A part of ours above the poller.
    Ours(Rc<dyn OnTimer>),
    /// Pipes that nobody has needed for a while.
    Pipes,
    /// Nothing but the turn itself: the end of a grace.
    Turn,
}

impl TimerTarget {
    /// The poller ends.
    pub(crate) fn end(self) {
        if let TimerTarget::Ours(ours) = self {
            ours.on_end();
        }
    }
}

/// A timer of a connection, as the poller's timers have it: two words, since every arming moves it.
pub(crate) struct HandlerTimer {
    /// Whose it is.
    pub(crate) connection: Token,
    /// Its place in the connection's list.
    pub(crate) place: u32,
}

/// Something of ours, above the poller, that has a timer.
pub(crate) trait OnTimer {
    /// The timer is due, and gone.
    fn on_timer(self: Rc<Self>);

    /// The poller ends, and the timer with it.
    fn on_end(self: Rc<Self>) {}
}
