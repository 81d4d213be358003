//! When a handler is to produce less, and when more.

use crate::connection::flush;
use crate::local::connection::State;
use crate::local::context::EvContext;
use crate::local::flags::Flags;
use crate::parts::watermarks::Watermarks;

impl EvContext<'_> {
    /// Has [`on_write_high`] called when more than `high` bytes of output are queued, and then
    /// [`on_write_low`] when `low` or fewer are left: once for each crossing, in turns, at the end
    /// of the poller's turn in which it happened. Off until it is called; a `high` of
    /// [`usize::MAX`] turns it off again.
    ///
    /// Queued is what [`EvContext::pending_output`] counts, whoever wrote it; what a [`Writer`]
    /// brings counts when the poller takes it over, as far as it can't be sent at once. A `low`
    /// above `high` means `high`. With (0, 0) the two calls tell of the first byte that is queued
    /// and of the last one that is sent. Marks that are moved are looked at anew at once, with the
    /// side on which the output was as it was.
    ///
    /// On a connection that is ending it does nothing.
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
            let marks =
                extra.watermarks.get_or_insert_with(|| Box::new(Watermarks::new(low, high)));
            marks.set(low, high);
        });
        connection.turn_on(Flags::HAS_WATERMARKS);
        flush::output_changed(self.local, connection);
    }
}
