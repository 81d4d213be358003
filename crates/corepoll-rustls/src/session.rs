//! The state of one TLS connection. `handshake`, `reading` and `writing` work on it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use corepoll::{Notifier, TimerId};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::engine::Engine;
use crate::failure::{Failure, tls_error};
use crate::input::Carry;
use crate::scratch::{Plaintext, Scratch};
use crate::writer::WriterEnd;

/// Which side of a connection is to be made, and of what.
#[derive(Clone)]
pub(crate) enum Side {
    /// The one that was connected to.
    Server(Arc<ServerConfig>),
    /// The one that connects, to a server of this name.
    Client(Arc<ClientConfig>, ServerName<'static>),
}

/// Where a connection is in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The handshake is under way.
    Handshaking,
    /// `on_open` has been called.
    Open,
    /// The end has been requested: nothing is accepted for sending any more.
    Closing,
}

/// The state of a TLS connection.
pub(crate) struct Session {
    /// rustls' state.
    pub(crate) engine: Engine,
    /// Where the connection is in its life.
    pub(crate) stage: Stage,
    /// `on_open` has been called, so that `on_close` follows.
    pub(crate) is_opened: bool,
    /// The buffers of the thread.
    pub(crate) scratch: Rc<Scratch>,
    /// Bytes of earlier callbacks.
    pub(crate) carry: Carry,
    /// Plaintext, or the end of the data, that `on_read` has been called for and has not read.
    pub(crate) ready: Option<Plaintext<'static>>,
    /// The peer has sent its close_notify.
    pub(crate) has_peer_closed: bool,
    /// The handler has read the end of the data.
    pub(crate) is_end_read: bool,
    /// The handler is interested in reading.
    pub(crate) wants_read: bool,
    /// Why the connection ends, if the reason is TLS.
    pub(crate) failure: Option<Failure>,
    /// The poller's end of what `TlsWriter`s have brought.
    pub(crate) writer: Option<WriterEnd>,
    /// Calls this connection again, for records that are there already.
    pub(crate) notifier: Option<Notifier>,
    /// The timer that ends a stalled handshake.
    pub(crate) handshake_timer: TimerId,
    /// The name that the client has asked for, on a server.
    pub(crate) server_name: Option<Box<str>>,
}

impl Session {
    /// Makes a connection before its first byte.
    pub(crate) fn new(side: Side) -> io::Result<Session> {
        let engine = match side {
            Side::Server(config) => Engine::server(config),
            Side::Client(config, name) => Engine::client(config, name),
        };
        Ok(Session {
            engine: engine.map_err(tls_error)?,
            stage: Stage::Handshaking,
            is_opened: false,
            scratch: Scratch::of_thread(),
            carry: Carry::default(),
            ready: None,
            has_peer_closed: false,
            is_end_read: false,
            wants_read: true,
            failure: None,
            writer: None,
            notifier: None,
            handshake_timer: TimerId::NONE,
            server_name: None,
        })
    }

    /// Notes a failure, and returns it as an error.
    #[cold]
    pub(crate) fn fail(&mut self, failure: Failure) -> io::Error {
        let failure = self.failure.get_or_insert(failure);
        failure.to_error()
    }
}
