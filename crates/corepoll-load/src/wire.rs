//! What a connection of the load sends and reads by: a plain connection, or TLS.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{Action, CloseReason, EvContext, EvHandler, TimerId};

use crate::connection::Connection;
use crate::tls::Opened;

/// What a connection asks of the context of its handler.
pub trait Wire {
    /// Sends `bytes`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Arms a timer.
    fn set_timer(&mut self, delay: Duration) -> TimerId;
    /// Makes a timer due at another time. Returns `false` if it is not armed.
    fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool;
}

impl Wire for EvContext<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)
    }

    fn set_timer(&mut self, delay: Duration) -> TimerId {
        self.set_timer(delay)
    }

    #[inline]
    fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool {
        self.reset_timer(timer, delay)
    }
}

impl EvHandler for Connection {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_nodelay(true)?;
        self.begin(cx)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let bytes = cx.read()?;
        self.take(cx, &bytes)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        self.fire(cx, timer)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        self.end(reason);
    }
}

/// A connection that is made, and sends nothing yet.
#[derive(Debug)]
pub enum Ready {
    /// A plain one.
    Plain(TcpStream),
    /// One whose TLS handshake is done.
    Secured(Opened),
}

impl Ready {
    /// Returns `true` if the connection is known to have ended.
    pub fn has_ended(&self) -> bool {
        match self {
            // A handler will see.
            Ready::Plain(_) => false,
            Ready::Secured(opened) => opened.has_ended(),
        }
    }

    /// Has `connection` send on it from now on.
    pub fn begin(self, connection: Connection) -> io::Result<()> {
        match self {
            Ready::Plain(stream) => stream.into_handler(connection).map(drop),
            Ready::Secured(opened) => opened.begin(connection),
        }
    }
}
