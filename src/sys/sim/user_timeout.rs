//! TCP_USER_TIMEOUT: a connection ends when its peer has confirmed nothing for too long.
//!
//! What waits to be confirmed is what was written, also where the peer has no room for it, and the end
//! behind it (tcp(7), and RFC 5482). Each receipt begins the time anew.

use super::connection::{Phase, Tcp};
use super::due::Happening;
use super::id::Id;
use super::segment::Packet;
use super::world::World;

impl World {
    /// Notes since when an end waits for its peer, if it does.
    pub(super) fn note_wait(&mut self, id: Id) {
        let now = self.now();
        let Some(tcp) = self.tcp(id) else { return };
        tcp.waits_since = awaits_receipt(tcp).then(|| tcp.waits_since.unwrap_or(now));
        let Some(at) = limit(tcp) else { return };
        if tcp.next_look.is_none_or(|look| look > at) {
            tcp.next_look = Some(at);
            self.schedule(at, Happening::Packet(Packet::UserLimit(id)));
        }
    }

    /// Ends a connection whose user timeout is over, or looks again later.
    pub(super) fn look_at_user_limit(&mut self, id: Id) {
        let now = self.now();
        let Some(tcp) = self.tcp(id) else { return };
        tcp.next_look = None;
        if awaits_receipt(tcp) && limit(tcp).is_some_and(|at| at <= now) {
            return self.fail(id, libc::ETIMEDOUT);
        }
        self.note_wait(id);
    }
}

/// Returns `true` if the peer has something to confirm.
fn awaits_receipt(tcp: &Tcp) -> bool {
    let has_ended = tcp.no_more_output && !tcp.end_is_confirmed;
    tcp.phase == Phase::Open && (tcp.held() > 0 || has_ended)
}

/// Returns when the user timeout is over, if there is one and something waits.
fn limit(tcp: &Tcp) -> Option<u64> {
    let limit = u64::try_from(tcp.options.user_timeout?.as_nanos()).unwrap_or(u64::MAX);
    Some(tcp.waits_since?.saturating_add(limit))
}
