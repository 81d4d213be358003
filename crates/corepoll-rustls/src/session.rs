//! One TLS connection: bytes of the peer into plaintext, plaintext into the connection's output.
//!
//! This file has its state and its handshake, `reading` and `writing` what follows.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use corepoll::{EvContext, Notifier, TimerId};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::engine::{Engine, Found, Send};
use crate::failure::{Failure, tls_error};
use crate::input::{Carry, Input};
use crate::reading::Looked;
use crate::scratch::{Output, Plaintext, Scratch};
use crate::server_name;
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

    /// Sends what rustls begins with: the first message of a client.
    pub(crate) fn begin(&mut self, output: &mut Output) -> io::Result<()> {
        let mut none = Plaintext::end();
        loop {
            match self.engine.step(&mut [], &mut none, &mut output.records, Send::Nothing).1 {
                Found::Progress => {}
                Found::Failed(error) => return Err(tls_error(*error)),
                _ => return Ok(()),
            }
        }
    }

    /// Goes on with the handshake, as far as the input goes. Returns `true` once it is done.
    pub(crate) fn shake_hands<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
    ) -> io::Result<bool> {
        let mut may_read = true;
        while self.engine.state().is_handshaking() {
            let looked = self.look(input, output);
            // Taken each time: the next ClientHello may be another connection's.
            if let Some(name) = server_name::take() {
                self.server_name = Some(name);
            }
            match looked? {
                Looked::NeedsMore if may_read => self.receive(cx, input)?,
                Looked::NeedsMore => return Ok(false),
                Looked::Plaintext(plaintext) => self.ready = Some(plaintext),
                Looked::Other if self.has_peer_closed => {
                    return Err(self.fail(Failure::Truncated { is_open: false }));
                }
                Looked::Other => {}
            }
            // One read an event: a flight seldom fills the poller's buffer.
            may_read = may_read && input.rest().is_empty() && self.carry.is_empty();
        }
        Ok(true)
    }

    /// Notes a failure, and returns it as an error.
    #[cold]
    pub(crate) fn fail(&mut self, failure: Failure) -> io::Error {
        let failure = self.failure.get_or_insert(failure);
        failure.to_error()
    }
}
