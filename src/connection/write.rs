//! What a callback writes: at once, and queued where the kernel doesn't take it.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use crate::connection::{flush, request_close};
use crate::local::action::CloseReason;
use crate::local::connection::State;
use crate::local::context::EvContext;
use crate::local::errors::{ending, too_much};
use crate::local::flags::Flags;
use crate::sys::stream;

impl EvContext<'_> {
    /// Writes `bytes`: tries at once, and queues what the kernel does not take. Either all is
    /// accepted, or the connection is ending.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     // However much it is: what the peer doesn't take now is sent when it does.
    ///     cx.write(b"good ")?;
    ///     cx.write(b"day")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "good day");
    /// ```
    ///
    /// # Errors
    /// The connection's error, with which it then ends (whether or not the handler passes it on);
    /// or more output would be queued than `Budget::output_per_connection`, and the connection
    /// ends with [`CloseReason::Overflow`]. On a socket of datagrams an error is one datagram's:
    /// the connection goes on, unless the handler passes it on.
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = Ok(0);
        // What nearly every write is, small enough to become part of its caller.
        if let (Some(fd), true) = (&*self.fd, self.may_send_now()) {
            sent = stream::send_uncounted(fd.as_fd(), bytes);
            self.local.has_written.set(true);
            if matches!(sent, Ok(count) if count == bytes.len()) {
                self.local.recorder.bytes_out(bytes.len());
                return Ok(());
            }
        }
        self.write_the_rest(bytes, sent)
    }

    /// Not everything was sent, or it could not even be tried.
    #[cold]
    fn write_the_rest(&mut self, bytes: &[u8], sent: io::Result<usize>) -> io::Result<()> {
        self.local.recorder.bytes_out(*sent.as_ref().unwrap_or(&0));
        let sent = match sent {
            Ok(0) if !bytes.is_empty() && self.may_write_now() => {
                let is_socket = self.connection.has(Flags::SOCKET);
                let write = if is_socket { stream::send } else { stream::write };
                self.local.has_written.set(true);
                self.sent(write(self.descriptor(), bytes))?
            }
            other => self.sent(other)?,
        };
        self.queue(&[IoSlice::new(&bytes[sent..])])
    }

    /// Writes several slices as one: see [`EvContext::write`].
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     cx.write_vectored(&[IoSlice::new(b"you said "), IoSlice::new(&data)])?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "you said hello");
    /// ```
    ///
    /// # Errors
    /// As [`EvContext::write`].
    pub fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        if bufs.len() > stream::MOST_SLICES && self.connection.has(Flags::MESSAGES) {
            // One system call would take some of them, and end the datagram or the record there.
            let whole: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            return self.write(&whole);
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut sent = 0;
        if total > 0 && self.connection.has(Flags::SOCKET) && self.may_write_now() {
            self.local.has_written.set(true);
            sent = self.sent(stream::send_vectored(self.descriptor(), bufs))?;
            if sent == total {
                return Ok(());
            }
        }
        let is_next = total > 0 && !self.connection.has(Flags::SOCKET) && self.may_write_now();
        let mut rest = Vec::with_capacity(bufs.len());
        for buf in bufs {
            let skip = sent.min(buf.len());
            rest.push(IoSlice::new(&buf[skip..]));
            sent -= skip;
        }
        self.queue(&rest)?;
        if is_next {
            self.local.has_written.set(true);
            self.flush()?;
        }
        Ok(())
    }

    /// It is a socket, nothing is queued before it, nobody else writes, and the connection goes on.
    #[inline]
    fn may_send_now(&self) -> bool {
        self.connection
            .has_without(Flags::SOCKET | Flags::OPEN, Flags::HAS_OUTPUT | Flags::HAS_WRITER)
    }

    /// As `may_send_now`, for any descriptor, and after what others have written.
    pub(crate) fn may_write_now(&mut self) -> bool {
        (!self.connection.has(Flags::HAS_OUTPUT | Flags::HAS_WRITER) || self.let_writers_go_first())
            && self.connection.state() == State::Open
    }

    /// How much of an attempt to send came true.
    fn sent(&mut self, attempt: io::Result<usize>) -> io::Result<usize> {
        match attempt {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if self.connection.has(Flags::DATAGRAMS) => Err(error),
            Err(error) => Err(self.fail(error)),
            sent => sent,
        }
    }

    #[cold]
    fn queue(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        if self.connection.state() != State::Open {
            return Err(ending());
        }
        let more: usize = bufs.iter().map(|buf| buf.len()).sum();
        if more == 0 {
            return Ok(());
        }
        let most = self.local.budget.output_per_connection;
        let is_apart = self.connection.has(Flags::MESSAGES);
        let is_kept = self.connection.with_extra(|extra| {
            let fits = extra.outbox.in_memory().saturating_add(more) <= most;
            if fits && is_apart {
                let whole: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
                extra.outbox.push_apart(whole.into());
            } else if fits {
                bufs.iter().for_each(|buf| extra.outbox.push(buf));
            }
            fits
        });
        if !is_kept {
            request_close::connection(self.local, self.connection, CloseReason::Overflow);
            return Err(too_much(most));
        }
        self.connection.turn_on(Flags::HAS_OUTPUT | Flags::DIRTY);
        flush::output_changed(self.local, self.connection);
        Ok(())
    }

    /// Bytes that are queued and not in the kernel yet: those of [`EvContext::write`], of files,
    /// and what a [`Writer`](crate::Writer) has brought.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"short")?;
    ///     // The kernel has taken it all.
    ///     assert_eq!(cx.pending_output(), 0);
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "short");
    /// ```
    #[inline]
    pub fn pending_output(&self) -> usize {
        if self.connection.has(Flags::HAS_OUTPUT | Flags::HAS_WRITER) { self.queued() } else { 0 }
    }

    #[cold]
    fn queued(&self) -> usize {
        let queued = self.connection.with_present_extra(|extra| extra.outbox.pending());
        queued.unwrap_or(0).saturating_add(self.uncollected())
    }
}
