//! Handlers whose connection is closed before it is opened.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use corepoll::net::TcpStream;
use corepoll::{Action, CloseReason, EvContext, EvHandler};

use crate::life::Life;
use crate::model::{model, now, try_model};

/// Gives a connection to a handler, and closes it in the same callback. The handler is told of both, in
/// this order, and of nothing else. What is queued for the connection is sent before.
///
/// # Errors
///
/// Returns that of the hand-over, which closes the connection.
pub fn close_unopened(cx: &mut EvContext<'_>, stream: TcpStream) -> io::Result<()> {
    let is_given = Rc::<Cell<bool>>::default();
    let handler = Unopened {
        life: Life::begin("a handler that is closed unopened"),
        made_at: now(),
        is_over: false,
        is_given: is_given.clone(),
    };
    let token = stream.into_handler(handler)?;
    is_given.set(true);
    if !cx.close(token) {
        model().violated("a connection that is not open yet can't be closed");
    }
    if cx.close(token) {
        model().violated("a connection that is closed can be closed once more");
    }
    Ok(())
}

/// The handler of such a connection.
#[derive(Debug)]
struct Unopened {
    /// Whether it was opened and closed.
    life: Life,
    /// When it was made.
    made_at: Instant,
    /// Whether it was told of the end.
    is_over: bool,
    /// Whether it has got the connection.
    is_given: Rc<Cell<bool>>,
}

impl EvHandler for Unopened {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.open();
        model().check_prompt("the opening of a closed connection", now() - self.made_at);
        if cx.write(b"?").is_ok() {
            model().violated("a connection that was closed before it was opened takes output");
        }
        Ok(self.life.close())
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.live();
        Ok(Action::Keep)
    }

    fn on_shutdown(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.life.shut_down();
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.life.end_by(&reason);
        self.is_over = true;
    }
}

impl Drop for Unopened {
    fn drop(&mut self) {
        // The end of a simulation that has failed drops handlers without a model.
        if self.is_given.get()
            && !self.is_over
            && let Some(model) = try_model()
        {
            model.violated("a connection that was closed before it was opened has no on_close");
        }
    }
}
