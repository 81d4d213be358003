//! What the poller does later: calls at the end of the turn, and timers at their time.
//!
//! A callback that asks for the end of another connection, for example, must not have that
//! connection's `on_close` called inside of itself. So it only adds a [`Deferred`], which
//! `poller/dispatch.rs` takes up when the events of the turn have been dispatched.

use std::io;
use std::rc::Rc;
use std::task::Waker;

use crate::base::token::Token;
use crate::local::action::CloseReason;
use crate::local::handler::EvHandler;

/// What is to be done at the end of the turn.
pub(crate) enum Deferred {
    /// `on_open` is called.
    Open(Token),
    /// The connection is closed: its output is flushed, and `on_close` is called.
    Close(Token, CloseReason),
    /// poll(2) is asked about a connection whose error queue is not empty: see
    /// `connection/persistent.rs`.
    Recheck(Token),
    /// `on_read` is called again: the event's budget was spent, and no other edge will be reported.
    Reread(Token),
    /// The attempt to connect ends with this error: it has failed at once, or was closed.
    ConnectFail(Token, io::Error),
    /// `on_connect_fail` is called of a handler for which no attempt was made.
    Refuse(Box<dyn EvHandler>, io::Error),
    /// More output is sent: the event's budget was spent, and no other edge will be reported.
    Flush(Token),
    /// `on_write_high` is called.
    WriteHigh(Token),
    /// `on_write_low` is called.
    WriteLow(Token),
    /// Listeners that wait for a free descriptor are told that one has been closed.
    FdFreed,
    /// Connections that only linger are closed, as descriptors have run out.
    MakeRoom,
}

impl Deferred {
    /// Returns `true` if it lets a connection go on. A poller whose grace has passed makes no such call:
    /// the connection ends next. The others tell a handler of what has happened.
    pub(crate) fn lets_go_on(&self) -> bool {
        use Deferred::{Recheck, Reread, WriteHigh, WriteLow};
        matches!(self, Recheck(_) | Reread(_) | WriteHigh(_) | WriteLow(_))
    }
}

/// What a timer is for.
///
/// Its first word says which it is, and the other two are what it carries. Otherwise some variants
/// would begin in the middle of a word, and moving any of them would go through memory.
#[repr(u64)]
pub(crate) enum TimerTarget {
    /// `on_timeout` of a handler is called.
    Handler(HandlerTimer),
    /// A closing connection that still flushes or lingers is closed.
    Linger(Token),
    /// `on_read` is called again of a handler that has left bytes unread after its peer hung up.
    Reread(Token),
    /// The deadlines of a connection, or of a stream of tasks, are looked at.
    Deadline(Token),
    /// An attempt to connect has reached its deadline, or tries its next address.
    Connect(Token),
    /// A task is woken.
    Task(Waker),
    /// A part of the crate above the poller is called.
    Internal(Rc<dyn OnTimer>),
    /// Spare pipes that no relay has needed for a while are closed.
    Pipes,
    /// Nothing is done: the turn itself is what is needed, at the end of a shutdown's grace.
    Turn,
}

impl TimerTarget {
    /// Returns the waker of a task's timer.
    #[inline]
    pub(crate) fn into_waker(self) -> Option<Waker> {
        if let TimerTarget::Task(waker) = self {
            return Some(waker);
        }
        debug_assert!(false, "the timers of tasks carry wakers");
        None
    }

    /// Tells the target that the poller ends, and that the timer will not fire.
    pub(crate) fn end(self) {
        if let TimerTarget::Internal(target) = self {
            target.on_end();
        }
    }
}

/// A timer of a handler, as the poller's timers know it. It is two words, since arming moves it.
pub(crate) struct HandlerTimer {
    /// The connection that it belongs to.
    pub(crate) connection: Token,
    /// Its place in the connection's list.
    pub(crate) place: u32,
}

/// A part of the crate, above the poller, that has a timer.
pub(crate) trait OnTimer {
    /// Handles the timer, which has fired and is gone.
    fn on_timer(self: Rc<Self>);

    /// Handles the end of the poller, and of the timer with it.
    fn on_end(self: Rc<Self>) {}
}
