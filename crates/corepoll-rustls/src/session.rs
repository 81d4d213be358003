//! One TLS connection: bytes of the peer into plaintext, plaintext into the connection's output.
//!
//! Input is given to rustls a record at a time, where it lies: in the chunk that the poller has
//! lent. Only what has come in part is copied, into [`Carry`]. While rustls holds a part of a
//! handshake message it needs the same bytes again, at the front of the next input; these are
//! always in the carry, and `Carry::seen` counts them.

use std::io;
use std::sync::Arc;

use corepoll::{EvContext, Notifier, TimerId};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::engine::{Engine, Found, Send};
use crate::failure::{Failure, closing_error, tls_error};
use crate::input::{Carry, Input, Next, next_record};
use crate::scratch::{Output, Plaintext, RECORD};
use crate::server_name;
use crate::writer::WriterEnd;

/// The most bytes of one handshake message that are kept while the rest is awaited. rustls allows
/// 64 KiB to a message; the rest is for the headers of its pieces.
const MOST_SEEN: usize = 128 * 1024;

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

/// What a look at the input has come to.
enum Looked {
    /// Plaintext.
    Plaintext(Plaintext<'static>),
    /// A record without plaintext, or the peer's close_notify.
    Other,
    /// More bytes are needed.
    NeedsMore,
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
        let mut plaintext = Plaintext::end();
        let (_, found) = run(&mut self.engine, &mut [], &mut plaintext, output);
        match found {
            Found::Failed(error) => Err(tls_error(*error)),
            _ => Ok(()),
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

    /// Makes plaintext ready for the handler, or the end of the data. Returns `false` if there is
    /// neither now. The socket is read if `may_read`, which is turned off then.
    #[inline]
    pub(crate) fn prepare<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
        may_read: &mut bool,
    ) -> io::Result<bool> {
        while self.ready.is_none() {
            if self.has_peer_closed {
                if self.is_end_read {
                    return self.discard(cx, *may_read);
                }
                self.ready = Some(Plaintext::end());
                break;
            }
            match self.look(input, output)? {
                Looked::Plaintext(plaintext) => self.ready = Some(plaintext),
                Looked::Other => {}
                Looked::NeedsMore if *may_read => {
                    *may_read = false;
                    self.receive(cx, input)?;
                }
                Looked::NeedsMore => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Reads and drops what comes after the peer's close_notify.
    fn discard(&mut self, cx: &mut EvContext<'_>, may_read: bool) -> io::Result<bool> {
        if may_read {
            drop(cx.read()?);
        }
        Ok(false)
    }

    /// Returns the next plaintext: what is ready, or what the input or the socket has. It is empty
    /// at the end of the data.
    pub(crate) fn read<'b>(
        &mut self,
        cx: &mut EvContext<'b>,
        input: &mut Input<'b>,
        output: &mut Output,
    ) -> io::Result<Plaintext<'b>> {
        loop {
            let mut may_read = true;
            if self.has_peer_closed && self.is_end_read {
                return Ok(Plaintext::end());
            }
            if self.prepare(cx, input, output, &mut may_read)?
                && let Some(plaintext) = self.ready.take()
            {
                self.is_end_read = self.has_peer_closed && plaintext.is_empty();
                return Ok(plaintext);
            }
        }
    }

    /// Returns `true` if there is something to read without the socket.
    pub(crate) fn has_backlog(&self) -> bool {
        self.ready.is_some() || matches!(next_record(self.carry.unseen()), Next::Whole(_))
    }

    /// Receives the next bytes. The end of them, without a close_notify before, is a failure.
    #[inline]
    fn receive<'b>(&mut self, cx: &mut EvContext<'b>, input: &mut Input<'b>) -> io::Result<()> {
        let chunk = cx.read()?;
        if chunk.is_empty() {
            let is_open = self.stage != Stage::Handshaking;
            return Err(self.fail(Failure::Truncated { is_open }));
        }
        input.set(chunk);
        Ok(())
    }

    /// Gives rustls the next record, if all of it is there. What is left of the chunk otherwise is
    /// carried over.
    #[inline]
    fn look(&mut self, input: &mut Input<'_>, output: &mut Output) -> io::Result<Looked> {
        if !self.carry.is_empty() {
            return self.look_at_carry(input, output);
        }
        let rest = input.rest();
        if rest.is_empty() {
            return Ok(Looked::NeedsMore);
        }
        let Next::Whole(length) = next_record(rest) else {
            self.carry.extend(rest);
            input.clear();
            return Ok(Looked::NeedsMore);
        };
        let mut plaintext = Plaintext::lend();
        let (used, found) = run(&mut self.engine, &mut rest[..length], &mut plaintext, output);
        if used < length {
            // rustls needs what it has not used again, with the record that follows.
            self.carry.extend(&rest[used..length]);
            self.carry.seen = length - used;
        }
        input.advance(length);
        match found {
            Found::Plaintext => Ok(Looked::Plaintext(plaintext)),
            found => self.looked(found, input),
        }
    }

    /// Gives rustls the record that is carried over, if the chunk completes it.
    #[cold]
    fn look_at_carry(&mut self, input: &mut Input<'_>, output: &mut Output) -> io::Result<Looked> {
        let Some(length) = self.complete(input) else { return Ok(Looked::NeedsMore) };
        let mut plaintext = Plaintext::lend();
        let window = self.carry.window(length);
        let size = window.len();
        let (used, found) = run(&mut self.engine, window, &mut plaintext, output);
        self.carry.advance(used, size - used);
        match found {
            Found::Plaintext => Ok(Looked::Plaintext(plaintext)),
            found => self.looked(found, input),
        }
    }

    /// Notes what a record without plaintext has brought.
    #[cold]
    fn looked(&mut self, found: Found, input: &mut Input<'_>) -> io::Result<Looked> {
        match found {
            Found::Failed(error) => Err(self.fail(Failure::Tls(*error))),
            _ if self.carry.seen > MOST_SEEN => Err(self.fail(Failure::TooManyPieces)),
            Found::PeerClosed => {
                // What follows is no data of this connection.
                self.has_peer_closed = true;
                self.carry = Carry::default();
                input.clear();
                Ok(Looked::Other)
            }
            _ => Ok(Looked::Other),
        }
    }

    /// Completes the record that is carried over with bytes of the chunk. Returns its length, or
    /// `None` if there are too few.
    fn complete(&mut self, input: &mut Input<'_>) -> Option<usize> {
        loop {
            match next_record(self.carry.unseen()) {
                Next::Whole(length) => return Some(length),
                Next::Missing(count) => {
                    let rest = input.rest();
                    let count = count.min(rest.len());
                    if count == 0 {
                        return None;
                    }
                    self.carry.extend(&rest[..count]);
                    input.advance(count);
                }
            }
        }
    }

    /// Notes a failure, and returns it as an error.
    #[cold]
    pub(crate) fn fail(&mut self, failure: Failure) -> io::Error {
        let failure = self.failure.get_or_insert(failure);
        failure.to_error()
    }

    // ---- output ----

    /// Sends `bytes` in their order: small pieces are gathered into one record, which goes at the
    /// end of the callback.
    pub(crate) fn write(
        &mut self,
        cx: &mut EvContext<'_>,
        output: &mut Output,
        bytes: &[u8],
    ) -> io::Result<()> {
        if output.gathered.len() + bytes.len() <= RECORD {
            output.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.encrypt_gathered(output)?;
        for piece in bytes.chunks(RECORD) {
            self.encrypt(output, Send::Bytes(piece))?;
            if output.is_large() {
                output.send(cx)?;
            }
        }
        Ok(())
    }

    /// Encrypts and sends everything that waits.
    pub(crate) fn flush(&mut self, cx: &mut EvContext<'_>, output: &mut Output) -> io::Result<()> {
        self.encrypt_gathered(output)?;
        output.send(cx)
    }

    /// Makes a record of what small writes have left.
    fn encrypt_gathered(&mut self, output: &mut Output) -> io::Result<()> {
        if output.gathered.is_empty() {
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut output.gathered);
        let result = self.encrypt(output, Send::Bytes(&gathered));
        gathered.clear();
        output.gathered = gathered;
        result
    }

    /// Encrypts one record, behind whatever rustls has to send before it.
    #[inline]
    pub(crate) fn encrypt(&mut self, output: &mut Output, send: Send<'_>) -> io::Result<()> {
        let mut plaintext = Plaintext::end();
        loop {
            let window = if self.carry.is_empty() { &mut [] } else { self.carry.window(0) };
            match self.engine.step(window, &mut plaintext, output, send).1 {
                Found::Progress => {}
                Found::Sent => return Ok(()),
                Found::Failed(error) => return Err(self.fail(Failure::Tls(*error))),
                _ => return Err(closing_error()),
            }
        }
    }
}

/// Steps through `window` until there is plaintext or nothing more to be done. Returns how many of
/// its bytes are used.
#[inline]
fn run(
    engine: &mut Engine,
    window: &mut [u8],
    plaintext: &mut Plaintext<'_>,
    output: &mut Output,
) -> (usize, Found) {
    let mut used = 0;
    loop {
        let (more, found) = engine.step(&mut window[used..], plaintext, output, Send::Nothing);
        used = (used + more).min(window.len());
        match found {
            Found::Progress => {}
            Found::Failed(_) => {
                encode_alert(engine, output);
                return (used, found);
            }
            found => return (used, found),
        }
    }
}

/// Encodes the alert that tells the peer why the connection has failed.
#[cold]
fn encode_alert(engine: &mut Engine, output: &mut Output) {
    // rustls hands it out before it looks at any input, and must not be given input after a failure.
    let mut none = Plaintext::end();
    while engine.state().wants_write() {
        engine.step(&mut [], &mut none, output, Send::Nothing);
    }
}
