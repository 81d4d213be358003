//! The server on the callback API: one handler a connection.

use std::io;
use std::time::Duration;

use corepoll::{Action, EvContext, EvHandler, Interest, TimerId};

use crate::http::{Connection, Verdict};
use crate::poller_cache::PollerCache;

/// With more than this queued for a peer, nothing more is read from it until it has taken all. Far
/// below the library's cap on queued output, which ends the connection.
const OUTPUT_LIMIT: usize = 256 * 1024;

/// Serves one connection.
#[derive(Debug)]
pub struct HttpHandler {
    /// How long the client may take to have a request answered: to send it, and to read what was
    /// answered before.
    patience: Duration,
    /// Where HTTP stands.
    connection: Connection,
    /// Reading waits until the queued output is gone.
    is_paused: bool,
}

impl EvHandler for HttpHandler {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // One timer that looks whether there was an answer since it looked last costs nothing a
        // request. So the client may take twice as long at the most.
        cx.set_interval(self.patience);
        Ok(Action::Keep)
    }

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

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        if self.connection.is_making_progress() {
            return Ok(Action::Keep);
        }
        let (date, mut output) = cx.with_local(PollerCache::lend);
        let verdict = self.connection.time_out(&date, &mut output);
        let written = cx.write(&output);
        cx.with_local(|cache: &mut PollerCache| cache.take_back(output));
        written.map(|()| action(verdict))
    }

    fn on_shutdown(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(action(self.connection.wind_down()))
    }
}

impl HttpHandler {
    /// A handler for a new connection.
    pub fn new(patience: Duration) -> HttpHandler {
        HttpHandler { patience, connection: Connection::new(), is_paused: false }
    }

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
