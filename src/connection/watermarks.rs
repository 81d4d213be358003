//! The watermarks of queued output: when a handler is to produce less, and when more.
//!
//! The marks themselves are in `parts/watermarks`. The calls are deferred to the end of the turn,
//! so that a write inside of a callback can cross a mark.

use crate::connection::flush;
use crate::local::context::EvContext;
use crate::local::flags::{Flags, State};
use crate::parts::watermarks::Watermarks;

impl EvContext<'_> {
    /// Sets the watermarks of the queued output, in bytes: [`on_write_high`] is called when more
    /// than `high` bytes are queued, and then [`on_write_low`] when `low` or fewer are left.
    ///
    /// The two calls alternate: there is one for each crossing, at the end of the poller's turn in
    /// which it happened. A connection has no watermarks until this is called. A `high` of
    /// [`usize::MAX`] turns them off again, and a `low` above `high` means `high`. With (0, 0) the
    /// calls report the first byte that is queued and the last one that is sent.
    ///
    /// What counts is what [`EvContext::pending_output`] counts, whichever code wrote it. The bytes
    /// of a [`Writer`] count from when the poller takes them over, unless it can send them at once.
    ///
    /// Changing the watermarks takes effect immediately. Queued output keeps its current side until
    /// it crosses a new mark. On a connection that is ending the call does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler, Interest};
    /// use std::io;
    ///
    /// /// Reads no faster than its peer does.
    /// struct Echo;
    ///
    /// impl EvHandler for Echo {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.set_watermarks(64 * 1024, 256 * 1024);
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let data = cx.read()?;
    ///         cx.write(&data)?;
    ///         Ok(if data.is_empty() { Action::Close } else { Action::Keep })
    ///     }
    ///     fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.set_interest(Interest::NONE)?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.set_interest(Interest::READABLE)?;
    ///         Ok(Action::Keep)
    ///     }
    /// }
    /// ```
    ///
    /// [`on_write_high`]: crate::EvHandler::on_write_high
    /// [`on_write_low`]: crate::EvHandler::on_write_low
    /// [`Writer`]: crate::Writer
    pub fn set_watermarks(&mut self, low: usize, high: usize) {
        let connection = self.connection;
        if connection.state() != State::Open {
            return;
        }
        connection.with_extra(|extra| {
            let watermarks =
                extra.watermarks.get_or_insert_with(|| Box::new(Watermarks::new(low, high)));
            watermarks.set(low, high);
        });
        connection.set(Flags::HAS_WATERMARKS);
        // What is queued already may be above the new mark.
        flush::output_changed(self.local, connection);
    }
}
