//! The spare pipes of a poller. A relay moves bytes by splice(2), which needs a pipe between the
//! two sockets.
//!
//! How they are used, and how long they are kept, is in `connection/relay/pipes.rs`.

use std::cell::Cell;

use crate::parts::pool::Pool;
use crate::sys::splice::Pipe;

/// The number of spare pipes that are kept. A relay holds a pipe for a direction only while the
/// target is slow. Relays that flow use the same pipe one after the other, so that few are needed.
const MAX_SPARE_PIPES: usize = 16;

/// Empty pipes, kept for the next relay.
pub(crate) struct Pipes {
    /// The pipes. Each is empty.
    pub(crate) spare: Pool<Pipe>,
    /// Whether a timer is armed that closes the pipes which no relay has needed since.
    pub(crate) is_trim_armed: Cell<bool>,
}

impl Pipes {
    /// Makes the store without a pipe. Pipes are made by the relays that need them.
    pub(crate) fn new() -> Pipes {
        Pipes { spare: Pool::new(MAX_SPARE_PIPES), is_trim_armed: Cell::new(false) }
    }
}
