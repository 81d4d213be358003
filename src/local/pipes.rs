//! The spare pipes of a poller: what relays need while bytes are on their way.

use std::cell::Cell;

use crate::parts::pool::Pool;
use crate::sys::splice::Pipe;

/// How many spare pipes are kept. A relay holds one in each direction, and only while its peer is slow;
/// relays that flow use the same pipe one after the other.
const MOST_SPARE_PIPES: usize = 16;

/// Empty pipes, kept for the next relay.
pub(crate) struct Pipes {
    /// The pipes.
    pub(crate) spare: Pool<Pipe>,
    /// A timer is armed that closes those that no relay has needed.
    pub(crate) is_trim_armed: Cell<bool>,
}

impl Pipes {
    /// Makes it without a pipe.
    pub(crate) fn new() -> Pipes {
        Pipes { spare: Pool::new(MOST_SPARE_PIPES), is_trim_armed: Cell::new(false) }
    }
}
