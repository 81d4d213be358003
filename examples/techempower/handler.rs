//! The server on the callback API: one handler a connection.

use std::io;

use corepoll::{Action, EvContext, EvHandler, Interest};

use crate::http::{Connection, Verdict};
use crate::poller_cache::PollerCache;

/// With more than this queued for a peer, nothing more is read from it until it has taken all. Far
/// below the library's cap on queued output, which ends the connection.
const OUTPUT_LIMIT: usize = 256 * 1024;

/// Serves one connection.
#[derive(Debug, Default)]
pub struct HttpHandler {
    /// Where HTTP stands.
    connection: Connection,
    /// Reading waits until the queued output is gone.
    is_paused: bool,
}

impl EvHandler for HttpHandler {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            return Ok(Action::Close);
        }
        let (date, mut output) = cx.with_local(PollerCache::lend);
        let verdict = self.connection.feed(&chunk, &date, &mut output);
        let written = cx.write(&output);
        cx.with_local(|cache: &mut PollerCache| cache.take_back(output));
        written?;
        self.pause_if_behind(cx)?;
        Ok(action(verdict))
    }

    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if self.is_paused {
            self.is_paused = false;
            cx.set_interest(Interest::READABLE)?;
        }
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(action(self.connection.wind_down()))
    }
}

impl HttpHandler {
    /// A peer that sends requests and reads no answers has to wait.
    fn pause_if_behind(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        if cx.pending_output() > OUTPUT_LIMIT {
            self.is_paused = true;
            cx.set_interest(Interest::NONE)?;
        }
        Ok(())
    }
}

/// The library flushes what is queued before it closes, and waits for the peer to have read it.
fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Keep => Action::Keep,
        Verdict::Close => Action::Close,
    }
}
