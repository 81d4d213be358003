//! `TlsContext`: what a callback is given. Its other methods are in `timers`, `poller` and `agreed`.

use std::fmt;
use std::io::{self, IoSlice};

use corepoll::{EvContext, Interest, Notifier};

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
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     if data.is_empty() {
    ///         return Ok(Action::Close); // the peer's close_notify
    ///     }
    ///     cx.write(format!("{} bytes", data.len()).as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "5 bytes");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     // One record and one system call.
    ///     cx.write(b"good ")?;
    ///     cx.write(b"day")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "good day");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     cx.write_vectored(&[IoSlice::new(b"you said "), IoSlice::new(&data)])?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "you said hello");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     cx.write(&data)?;
    ///     // It goes when the callback returns.
    ///     assert_eq!(cx.pending_output(), data.len());
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    #[must_use]
    pub fn pending_output(&self) -> usize {
        let uncollected = self.session.writer.as_ref().map_or(0, WriterEnd::uncollected);
        self.cx.pending_output() + self.output.pending() + uncollected
    }

    /// Sets the watermarks of the queued output, in encrypted bytes. See
    /// [`EvContext::set_watermarks`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     cx.set_watermarks(64 * 1024, 256 * 1024);
    ///     Ok(Action::Keep)
    /// }
    /// fn on_write_high(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     cx.set_interest(Interest::NONE)?; // the peer reads too slowly
    ///     Ok(Action::Keep)
    /// }
    /// fn on_write_low(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     cx.set_interest(Interest::READABLE)?;
    ///     Ok(Action::Keep)
    /// }
    /// # fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    /// #     let data = cx.read()?;
    /// #     cx.write(&data)?;
    /// #     Ok(Action::Close)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn set_watermarks(&mut self, low: usize, high: usize) {
        self.cx.set_watermarks(low, high);
    }

    /// Returns a [`TlsWriter`], which writes to this connection from any thread. On a connection
    /// that is ending, every write of it fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let writer = cx.writer();
    ///     thread::spawn(move || -> io::Result<()> {
    ///         writer.write("worked hard")?;
    ///         writer.close();
    ///         Ok(())
    ///     });
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "worked hard");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let notifier = cx.notifier();
    ///     thread::spawn(move || notifier.notify());
    ///     Ok(Action::Keep)
    /// }
    /// fn on_notify(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     cx.write(b"notified")?;
    ///     Ok(Action::Close)
    /// }
    /// # fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    /// #     let _ = cx.read()?;
    /// #     Ok(Action::Keep)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "notified");
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     cx.set_interest(Interest::NONE)?;
    ///     cx.set_timer(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    /// fn on_timeout(&mut self, cx: &mut TlsContext<'_, '_>, _: TimerId) -> io::Result<Action> {
    ///     cx.set_interest(Interest::READABLE)?;
    ///     cx.write(b"rested")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "rested");
    /// ```
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        if interest.is_edge() {
            let text = "the interest of a TLS connection is level-triggered";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.cx.set_interest(interest)?;
        self.session.wants_read = interest.is_readable();
        Ok(())
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
