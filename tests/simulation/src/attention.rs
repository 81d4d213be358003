//! Programs that wait for something to read, which they must then be told of.

use std::net::SocketAddr;

use corepoll::EvContext;

use crate::model::{model, try_model};

/// A program that waits for something to read.
#[derive(Debug)]
pub struct Attention(SocketAddr, SocketAddr);

impl Attention {
    /// Makes the note of a program at `local` that waits for `peer`.
    pub(crate) fn new(local: SocketAddr, peer: SocketAddr) -> Attention {
        Attention(local, peer)
    }

    /// Notes that a handler waits for something to read, unless its connection has ended.
    pub fn of(cx: &EvContext<'_>, who: &'static str) -> Option<Attention> {
        let (local, peer) = (cx.local_addr().ok()?, cx.peer_addr().ok()?);
        Some(model().attend(local, peer, who))
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        // The end of a simulation that has failed drops programs without a model.
        if let Some(model) = try_model() {
            model.attentive.borrow_mut().remove(&(self.0, self.1));
        }
    }
}
