//! What is done with a connection that its user gives back, or that has ended in its hands.
//!
//! When in doubt a connection is closed. A new one costs a round trip; a connection with a stale
//! answer in it costs a user the data of another.

use std::rc::Rc;

use crate::net::tcp::stream::TcpStream;
use crate::task::drop_ignoring_panic;

use super::health::{is_quiet, is_writable};
use super::maintenance;
use super::shared::{Handoff, Shared};

/// Gives a connection that its user has released to the next one, or closes it if it is not fit
/// for that.
pub(crate) fn recycle(pool: &Rc<Shared>, stream: TcpStream) {
    if !is_reusable(pool, &stream) {
        return close(pool, stream);
    }
    stream.registered().clear_deadlines();
    maintenance::offer(pool, Handoff { stream, is_reused: true });
}

/// Closes a connection that was in use.
pub(crate) fn close(pool: &Rc<Shared>, stream: TcpStream) {
    drop_ignoring_panic(stream);
    closed(pool);
}

/// Counts a connection that was in use and is closed. Another one may be made in its place.
pub(crate) fn closed(pool: &Rc<Shared>) {
    pool.live.set(pool.live.get() - 1);
    maintenance::grow(pool);
}

/// Returns `true` if a connection can go to another user: it lives in the pool's poller, has missed
/// no deadline, is open in both directions, and nothing waits to be read.
fn is_reusable(pool: &Shared, stream: &TcpStream) -> bool {
    let registered = stream.registered();
    let is_here = pool
        .poller()
        .is_some_and(|poller| !poller.has_ended() && Rc::ptr_eq(&poller, registered.local()));
    is_here && !registered.has_missed_deadline() && is_quiet(stream) && is_writable(stream)
}
