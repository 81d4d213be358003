//! How the user's callbacks are called, and what is done after them.

use std::io;

use corepoll::Action;

use crate::context::TlsContext;
use crate::failure::Failure;
use crate::handler::TlsHandler;
use crate::session::Stage;
use crate::writer::WriterEnd;
use crate::writing::send;

/// Serves an event that brings one record, as nearly all do: reads it, calls `on_read` for it, and
/// sends what that has written. Anything else takes the long way.
#[inline(always)]
pub(crate) fn read_record<H: TlsHandler>(
    handler: &mut H,
    cx: &mut TlsContext<'_, '_>,
) -> io::Result<Action> {
    match cx.session.receive_record(cx.cx, cx.input, cx.output) {
        Ok(true) => {}
        Ok(false) => return read_on(handler, cx, Ok(Action::Keep)),
        Err(error) => return finish(cx, Err(error)),
    }
    let result = handler.on_read(cx);
    if !matches!(result, Ok(Action::Keep)) || !cx.session.is_at_rest(cx.input) {
        return read_on(handler, cx, result);
    }
    match cx.session.flush(cx.cx, cx.output) {
        Ok(()) => Ok(Action::Keep),
        Err(error) => finish(cx, Err(error)),
    }
}

/// Goes on after a call of `on_read`, with what else there is to read.
#[inline(never)]
fn read_on<H: TlsHandler>(
    handler: &mut H,
    cx: &mut TlsContext<'_, '_>,
    result: io::Result<Action>,
) -> io::Result<Action> {
    let mut result = keep_if_blocked(result);
    let is_stopped = cx.session.ready.is_some() || cx.session.failure.is_some();
    if matches!(result, Ok(Action::Keep)) && !is_stopped {
        result = pump(handler, cx, false);
    }
    finish(cx, result)
}

/// Calls `on_read` for what there is to read, as long as the handler goes on.
pub(crate) fn pump<H: TlsHandler>(
    handler: &mut H,
    cx: &mut TlsContext<'_, '_>,
    mut may_read: bool,
) -> io::Result<Action> {
    while cx.session.stage == Stage::Open && cx.session.wants_read {
        if !cx.session.prepare(cx.cx, cx.input, cx.output, &mut may_read)? {
            break;
        }
        let action = keep_if_blocked(handler.on_read(cx))?;
        let is_stopped = cx.session.ready.is_some() || cx.session.failure.is_some();
        if action == Action::Close || is_stopped {
            return Ok(action);
        }
    }
    Ok(Action::Keep)
}

/// Returns `Keep` for what `cx.read()?` returns when there is nothing to read.
pub(crate) fn keep_if_blocked(result: io::Result<Action>) -> io::Result<Action> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Action::Keep),
        result => result,
    }
}

/// Goes on with the handshake. When it is done, opens the connection and reads what has come.
#[cold]
pub(crate) fn shake_hands<H: TlsHandler>(
    handler: &mut H,
    cx: &mut TlsContext<'_, '_>,
) -> io::Result<Action> {
    if !cx.session.shake_hands(cx.cx, cx.input, cx.output)? {
        return Ok(Action::Keep);
    }
    cx.cx.cancel_timer(cx.session.handshake_timer);
    cx.session.stage = Stage::Open;
    cx.session.is_opened = true;
    match keep_if_blocked(handler.on_open(cx))? {
        Action::Keep => pump(handler, cx, false),
        Action::Close => Ok(Action::Close),
    }
}

/// Does what a callback of the user has asked for, sends what waits, and says how the plain
/// connection goes on.
pub(crate) fn finish(
    cx: &mut TlsContext<'_, '_>,
    result: io::Result<Action>,
) -> io::Result<Action> {
    let mut result = keep_if_blocked(result);
    if cx.session.writer.as_ref().is_some_and(WriterEnd::has_something) {
        // Also after an error: an overflow that a writer has caused is the reason then.
        let drained = cx.drain_writers(false);
        result = result.and_then(|action| drained.map(|()| action));
    }
    if cx.session.failure.is_some() {
        return end_in_failure(cx);
    }
    let closes = matches!(result, Ok(Action::Close)) || cx.session.stage == Stage::Closing;
    if closes && result.is_ok() {
        cx.drain_writers(true)?;
        cx.session.stage = Stage::Closing;
        cx.session.flush_rest(cx.cx, cx.output)?;
        // After a handshake that is not done there is nothing to close.
        if !cx.session.engine.state().is_handshaking() {
            cx.session.encrypt_close_notify(&mut cx.output.records)?;
        }
        send(cx.cx, cx.output)?;
        return Ok(Action::Close);
    }
    let flushed = cx.session.flush_rest(cx.cx, cx.output);
    if cx.session.failure.is_some() {
        return end_in_failure(cx);
    }
    let action = result.and_then(|action| flushed.map(|()| action))?;
    cx.keep_rest();
    if cx.session.stage == Stage::Open && cx.session.wants_read && cx.session.has_backlog() {
        // No event comes for records that are here already.
        cx.notifier().notify()?;
    }
    Ok(action)
}

/// Sends the alert that tells the peer why, and ends the connection gracefully, so that the alert
/// arrives. The handler is told the failure.
#[cold]
fn end_in_failure(cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    cx.session.stage = Stage::Closing;
    cx.output.gathered.clear();
    if matches!(cx.session.failure, Some(Failure::Overflow)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    send(cx.cx, cx.output)?;
    Ok(Action::Close)
}
