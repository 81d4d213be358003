//! What a pool does by itself: it makes connections, hands them out, and closes those that have
//! been idle for too long.

use std::io;
use std::rc::Rc;

use crate::base::error;
use crate::local::attempt::{Recipient, Target};
use crate::local::deferred::{OnTimer, TimerTarget};
use crate::local::errors::poller_ended;
use crate::local::state::Local;
use crate::net::connect::target;
use crate::net::tcp::stream::TcpStream;
use crate::sys::clock;
use crate::sys::fd::OwnedFd;

use super::shared::{Handoff, Shared};

// ---- new connections ----

/// Begins as many attempts to connect as connections are missing, unless the backoff forbids it.
pub(crate) fn grow(pool: &Rc<Shared>) {
    if !is_short(pool) {
        // The last user in the queue may have been served.
        return pool.disarm_if_unused();
    }
    let Some(poller) = pool.poller() else { return };
    if poller.has_ended() {
        // Nothing will be connected any more, and no timer fires: the users hear of it here.
        return fail_all(pool, &poller_ended());
    }
    if let Some(until) = pool.backoff.pause_ends() {
        return arm(pool, &poller, until);
    }
    // An attempt can end, or begin others, only later: here the counts grow until nothing is
    // missing.
    while is_short(pool) {
        // `is_short` has seen that there is room for one.
        let room = pool.settings.max_live - pool.live.get();
        for _ in 0..pool.settings.grow_by.min(room) {
            // If the address is invalid, each request has failed with that error.
            let Ok(target) = pool.target() else { return };
            begin_attempt(pool, &poller, target);
        }
    }
}

/// Returns `true` if connections are missing and may be made.
fn is_short(pool: &Shared) -> bool {
    if pool.live.get() >= pool.settings.max_live {
        return false;
    }
    let (waiting, connecting) = (pool.waiting(), pool.connecting.get());
    if connecting != waiting || pool.handles.get() == 0 {
        // If more are on their way than users wait, a step of `grow_by` is under way.
        // A pool without a handle makes connections for its users in the queue only.
        return connecting < waiting;
    }
    pool.idle() < pool.settings.min_idle
}

/// Begins one attempt to connect, and counts its connection.
fn begin_attempt(pool: &Rc<Shared>, poller: &Local, target: Target) {
    // Counted before the attempt begins, since `target::connect` may call back later in this turn.
    pool.live.set(pool.live.get() + 1);
    pool.connecting.set(pool.connecting.get() + 1);
    let (pool, round) = (pool.clone(), pool.backoff.round());
    let receive = move |result| attempt_ended(&pool, round, result);
    target::connect(poller, target, Recipient::Descriptor(Box::new(receive)));
}

/// Hands out the connection that an attempt has made, or passes its failure on. The attempt was
/// begun in `round` of the backoff.
fn attempt_ended(pool: &Rc<Shared>, round: u64, result: io::Result<OwnedFd>) {
    pool.connecting.set(pool.connecting.get() - 1);
    match result.and_then(|fd| TcpStream::from_fd(fd, "ConnectPool")) {
        Ok(stream) => {
            // One success ends the pause for all: the peer is there again.
            pool.backoff.reset();
            offer(pool, Handoff { stream, is_reused: false });
        }
        Err(error) => {
            pool.live.set(pool.live.get() - 1);
            pool.backoff.failed(round);
            fail_waiters(pool, &error);
        }
    }
    // The next step of `grow_by`, or the attempt in place of this one, which the backoff may put
    // off.
    grow(pool);
}

/// Passes `error` to the first user in the queue if no attempt is under way for it, and to all of
/// them if no connection is left.
fn fail_waiters(pool: &Shared, error: &io::Error) {
    if pool.waiting() > pool.connecting.get() {
        drop(pool.serve(Err(error::copy(error))));
    }
    if pool.live.get() == 0 {
        fail_all(pool, error);
    }
}

/// Passes `error` to all users in the queue. Those that join meanwhile wait for the next attempt.
fn fail_all(pool: &Shared, error: &io::Error) {
    // The number is taken before the first call: a handler that is told may ask again at once.
    for _ in 0..pool.waiting() {
        drop(pool.serve(Err(error::copy(error))));
    }
}

// ---- connections that are free ----

/// Gives a connection to the first user in the queue, or keeps it idle.
pub(crate) fn offer(pool: &Rc<Shared>, handoff: Handoff) {
    if pool.is_unix {
        // A read of a Unix socket ends where a descriptor was sent along, whatever comes behind it:
        // unix(7). So a short read doesn't mean that the socket is empty.
        handoff.stream.registered().distrust_short_reads();
    }
    let Some(returned) = pool.serve(Ok(handoff)) else { return };
    let (Ok(Handoff { stream, .. }), Some(poller)) = (returned, pool.poller()) else { return };
    // No request can come any more that would use it.
    if pool.handles.get() == 0 {
        pool.discard(stream);
        return pool.disarm_if_unused();
    }
    let since = clock::now();
    pool.push_idle(stream, since);
    arm(pool, &poller, clock::after(since, pool.settings.idle_timeout));
}

/// Closes the connections that have been idle for too long.
fn expire(pool: &Rc<Shared>, poller: &Local) {
    let limit = pool.settings.idle_timeout;
    while pool.idle() > pool.settings.min_idle {
        // They came in this order, so that the first one that may stay is the end of the search.
        let Some(since) = pool.oldest_idle() else { return };
        let end = clock::after(since, limit);
        // Read each time: closing many connections takes a while.
        if end > clock::now() {
            return arm(pool, poller, end);
        }
        pool.discard_oldest_idle();
    }
}

// ---- the timer ----

/// A pool has at most one timer. It is due at the end of a pause, or of a connection's idle time.
impl OnTimer for Shared {
    fn on_timer(self: Rc<Self>) {
        // The poller has taken it out, and `expire` or `grow` may arm another one.
        self.timer.set(None);
        let Some(poller) = self.poller() else { return };
        expire(&self, &poller);
        grow(&self);
        if self.waiting() > 0 {
            watch(&self, &poller);
        }
    }

    /// Tells the users in the queue that the poller has ended: nothing else knows of them.
    fn on_end(self: Rc<Self>) {
        // In the meantime the pool may have moved to another poller, with a timer there.
        if self.poller().is_some_and(|poller| poller.has_ended()) {
            self.timer.set(None);
            fail_all(&self, &poller_ended());
        }
    }
}

/// Makes the timer fire at `at` at the latest: in nanoseconds of the poller's clock, or
/// [`clock::NEVER`].
fn arm(pool: &Rc<Shared>, poller: &Local, at: u64) {
    match pool.timer.get() {
        // It is looked at then, and armed anew for what is left.
        Some((_, due)) if due <= at => {}
        Some((timer, _)) => {
            // One that is due too late is moved: a timer for each connection would cost a heap
            // entry each.
            poller.reset_timer(timer, at);
            pool.timer.set(Some((timer, at)));
        }
        None if at == clock::NEVER => {}
        None => start_timer(pool, poller, at),
    }
}

/// Arranges that the users in the queue are notified when the poller ends.
///
/// They may be tasks of another poller on this thread, which outlive this one. Only timers that are
/// armed are notified of the end, so a timer is armed that is never due.
pub(crate) fn watch(pool: &Rc<Shared>, poller: &Local) {
    if pool.timer.get().is_none() {
        start_timer(pool, poller, clock::NEVER);
    }
}

/// Arms the timer of a pool that has none.
fn start_timer(pool: &Rc<Shared>, poller: &Local, at: u64) {
    let timer = poller.arm(at, TimerTarget::Internal(pool.clone()));
    pool.timer.set(Some((timer, at)));
}
