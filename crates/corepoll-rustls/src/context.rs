//! `TlsContext`: what a callback is given.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corepoll::net::ToStreamAddr;
use corepoll::{
    Budget, Deadlines, EvContext, EvHandler, Interest, JoinHandle, Notifier, ReactorHandle,
    TimerId, Token,
};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};

use crate::failure::{Failure, closing_error};
use crate::input::Input;
use crate::scratch::{Output, Plaintext};
use crate::session::{Session, Stage};
use crate::writer::{TlsWriter, WriterEnd, WriterStage};

/// The TLS connection that a callback is called for: [`EvContext`] over plaintext.
///
/// | to | use |
/// |---|---|
/// | read and write | [`read`](TlsContext::read), [`write`](TlsContext::write), [`write_vectored`](TlsContext::write_vectored) |
/// | see and limit what is queued | [`pending_output`](TlsContext::pending_output), [`set_watermarks`](TlsContext::set_watermarks) |
/// | let other threads and tasks write | [`writer`](TlsContext::writer) |
/// | wait for time | [`set_timer`](TlsContext::set_timer), [`set_interval`](TlsContext::set_interval), [`set_deadlines`](TlsContext::set_deadlines) |
/// | see what was agreed on | [`alpn_protocol`](TlsContext::alpn_protocol), [`server_name`](TlsContext::server_name), [`peer_certificates`](TlsContext::peer_certificates) |
///
/// Files and relays are not offered, as the kernel would send their bytes in the clear, and neither
/// is a stream: tasks use futures-rustls.
pub struct TlsContext<'a, 'b> {
    /// The context of the plain connection.
    pub(crate) cx: &'a mut EvContext<'b>,
    /// The state of TLS.
    pub(crate) session: &'a mut Session,
    /// What was read for this callback.
    pub(crate) input: &'a mut Input<'b>,
    /// What is written in this callback.
    pub(crate) output: &'a mut Output,
}

impl<'b> TlsContext<'_, 'b> {
    /// Returns the next plaintext: at most one record of 16 KiB. It is empty at the end of the
    /// peer's data, which a close_notify marks.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read now, or if the
    /// budget of this event is spent; a callback may pass it on. Otherwise the connection has
    /// failed, and ends whether or not the handler passes the error on. A record that is refused
    /// is an error of rustls; the end of the TCP connection without a close_notify is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    #[inline]
    pub fn read(&mut self) -> io::Result<Plaintext<'b>> {
        if let Some(failure) = &self.session.failure {
            return Err(failure.to_error());
        }
        match self.session.take_ready() {
            Some(plaintext) => Ok(plaintext),
            None => self.session.read(self.cx, self.input, self.output),
        }
    }

    /// Encrypts and sends `bytes`. Either all of them are accepted, or the connection ends.
    ///
    /// Small writes of one callback share a record, and go when the callback returns; a write that
    /// doesn't fit into the record goes at once. What the kernel doesn't take is queued, before
    /// anything that is written later.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::write`]. An error of bytes that go when the callback
    /// returns is told by [`on_close`](crate::TlsHandler::on_close).
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.may_write()?;
        self.session.write(self.cx, self.output, bytes)
    }

    /// Sends several slices as if they were one. See [`TlsContext::write`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TlsContext::write`].
    pub fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        self.may_write()?;
        bufs.iter().try_for_each(|buf| self.session.write(self.cx, self.output, buf))
    }

    /// Takes what writers have brought, which goes first, and returns an error if the connection is
    /// ending.
    #[inline]
    fn may_write(&mut self) -> io::Result<()> {
        if self.session.writer.as_ref().is_some_and(WriterEnd::has_something) {
            self.drain_writers(false)?;
        }
        if self.session.stage != Stage::Open || self.session.failure.is_some() {
            return Err(closing_error());
        }
        Ok(())
    }

    /// Writes what writers have brought, and does what else they have asked for. With `last`
    /// nothing is accepted any more.
    pub(crate) fn drain_writers(&mut self, last: bool) -> io::Result<()> {
        let Some(mut end) = self.session.writer.take() else { return Ok(()) };
        let (mut pieces, stage) = end.collect(last);
        let mut result = Ok(());
        for bytes in pieces.drain(..) {
            if result.is_ok() {
                result = self.session.write(self.cx, self.output, &bytes);
            }
        }
        end.reuse(pieces);
        self.session.writer = Some(end);
        match stage {
            WriterStage::Overflowed => Err(self.session.fail(Failure::Overflow)),
            WriterStage::CloseRequested => {
                self.session.stage = Stage::Closing;
                result
            }
            _ => result,
        }
    }

    /// Returns how many bytes are accepted and not in the kernel yet. What is encrypted counts with
    /// what encryption adds.
    #[must_use]
    pub fn pending_output(&self) -> usize {
        let uncollected = self.session.writer.as_ref().map_or(0, WriterEnd::uncollected);
        self.cx.pending_output() + self.output.pending() + uncollected
    }

    /// Sets the watermarks of the queued output, in encrypted bytes. See
    /// [`EvContext::set_watermarks`].
    pub fn set_watermarks(&mut self, low: usize, high: usize) {
        self.cx.set_watermarks(low, high);
    }

    /// Returns a [`TlsWriter`], which writes to this connection from any thread. On a connection
    /// that is ending, every write of it fails.
    pub fn writer(&mut self) -> TlsWriter {
        let mut end = match self.session.writer.take() {
            Some(end) => end,
            None => {
                let notifier = self.notifier();
                WriterEnd::new(self.cx, notifier)
            }
        };
        if self.session.stage != Stage::Open {
            drop(end.collect(true));
        }
        let writer = end.writer();
        self.session.writer = Some(end);
        writer
    }

    /// Returns a [`Notifier`], which has [`on_notify`](crate::TlsHandler::on_notify) of this
    /// connection called, from any thread.
    pub fn notifier(&mut self) -> Notifier {
        let cx = &*self.cx;
        self.session.notifier.get_or_insert_with(|| cx.notifier()).clone()
    }

    /// Chooses the events: reading, being told of room, both or neither. Records that are there
    /// already are kept while the handler doesn't read.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for an edge-triggered interest: what
    /// the socket reports and what there is to read differ under TLS. Otherwise returns the errors
    /// of [`EvContext::set_interest`].
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        if interest.is_edge() {
            let text = "the interest of a TLS connection is level-triggered";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.cx.set_interest(interest)?;
        self.session.wants_read = interest.is_readable();
        Ok(())
    }

    /// Gives this connection deadlines. See [`EvContext::set_deadlines`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::set_deadlines`].
    pub fn set_deadlines(&mut self, deadlines: Deadlines) -> io::Result<()> {
        self.cx.set_deadlines(deadlines)
    }

    /// Has [`on_timeout`](crate::TlsHandler::on_timeout) called when `delay` has passed.
    pub fn set_timer(&mut self, delay: Duration) -> TimerId {
        self.cx.set_timer(delay)
    }

    /// Has [`on_timeout`](crate::TlsHandler::on_timeout) called again and again.
    pub fn set_interval(&mut self, every: Duration) -> TimerId {
        self.cx.set_interval(every)
    }

    /// Makes `timer` due when `delay` from now has passed. See [`EvContext::reset_timer`].
    pub fn reset_timer(&mut self, timer: TimerId, delay: Duration) -> bool {
        self.cx.reset_timer(timer, delay)
    }

    /// Cancels `timer`. See [`EvContext::cancel_timer`].
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.cx.cancel_timer(timer)
    }

    /// Requests the end of a connection of this poller. For this connection it is
    /// [`Action::Close`](corepoll::Action::Close). Another TLS connection that is closed so ends
    /// without a close_notify: ask its handler instead, or its [`TlsWriter`].
    pub fn close(&mut self, token: Token) -> bool {
        if token != self.cx.token() {
            return self.cx.close(token);
        }
        let is_open = self.session.stage == Stage::Open;
        self.session.stage = Stage::Closing;
        is_open
    }

    /// Connects to `addr` on this poller, with a plain handler or one of
    /// [`Tls::client`](crate::Tls::client). See [`EvContext::connect`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::connect`].
    pub fn connect<H: EvHandler>(
        &mut self,
        addr: impl ToStreamAddr,
        handler: H,
    ) -> io::Result<Token> {
        self.cx.connect(addr, handler)
    }

    /// Returns the token of the connection.
    pub fn token(&self) -> Token {
        self.cx.token()
    }

    /// Returns the time of this turn of the poller.
    pub fn now(&self) -> Instant {
        self.cx.now()
    }

    /// Returns the limits of the poller.
    pub fn budget(&self) -> &'b Budget {
        self.cx.budget()
    }

    /// Returns the reactor of the poller.
    pub fn reactor(&self) -> ReactorHandle {
        self.cx.reactor()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.cx.peer_addr()
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.cx.local_addr()
    }

    /// Switches Nagle's algorithm off or on.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::set_nodelay`].
    pub fn set_nodelay(&mut self, on: bool) -> io::Result<()> {
        self.cx.set_nodelay(on)
    }

    /// Lends the poller's value of type `T` to `f`. See [`EvContext::with_local`].
    pub fn with_local<T: Default + 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.cx.with_local(f)
    }

    /// Lends the poller's value of type `T` to `f`. See [`EvContext::with_local_or`].
    pub fn with_local_or<T: 'static, R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        self.cx.with_local_or(init, f)
    }

    /// Spawns a task on this poller. To write to the connection it takes a [`TlsWriter`] along.
    pub fn spawn_local<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.cx.spawn_local(future)
    }

    // ---- what was agreed on ----

    /// Returns the protocol that was agreed on by ALPN.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.engine.state().alpn_protocol()
    }

    /// Returns the name that the client has asked for (SNI). On a client it is `None`.
    pub fn server_name(&self) -> Option<&str> {
        self.session.server_name.as_deref()
    }

    /// Returns the certificates of the peer, its own first.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.engine.state().peer_certificates()
    }

    /// Returns the version of TLS.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session.engine.state().protocol_version()
    }

    /// Returns the cipher suite.
    pub fn negotiated_cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.session.engine.state().negotiated_cipher_suite()
    }

    /// Returns which kind of handshake it was: a full one, or the resumption of a session.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.session.engine.state().handshake_kind()
    }

    /// Carries over what the handler has left of the chunk.
    pub(crate) fn keep_rest(&mut self) {
        let rest = self.input.rest();
        if !rest.is_empty() {
            self.session.carry.extend(rest);
            self.input.clear();
        }
    }
}

impl fmt::Debug for TlsContext<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext")
            .field("token", &self.token())
            .field("stage", &self.session.stage)
            .finish_non_exhaustive()
    }
}
