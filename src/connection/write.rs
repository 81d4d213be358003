//! What a callback writes: it is sent at once, and queued where the kernel doesn't take it.
//!
//! Most answers fit into the send buffer of their socket. Sending at once spares them the copy into
//! the outbox, and a change of the mask before and after.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use crate::connection::{flush, request_close};
use crate::local::action::CloseReason;
use crate::local::calls;
use crate::local::context::EvContext;
use crate::local::errors::output_overflow;
use crate::local::flags::{Flags, State};
use crate::sys::stream;
use crate::sys::syscall::Answer;

impl EvContext<'_> {
    /// Sends `bytes` at once, as far as the kernel takes them, and queues the rest. Either all of
    /// them are accepted, or the connection ends.
    ///
    /// Queued output is sent when the peer has made room, before anything that is written later.
    /// See [`EvContext::set_watermarks`] for a handler that may write faster than its peer reads.
    ///
    /// # Errors
    ///
    /// Returns the connection's error. The connection then ends with it, whether or not the handler
    /// passes it on. On a socket for datagrams the error belongs to one datagram, and the
    /// connection goes on unless the handler passes it on.
    ///
    /// Returns [`OutOfMemory`](io::ErrorKind::OutOfMemory) if more than
    /// [`Budget::output_per_connection`] bytes would be queued; the connection then ends with
    /// [`CloseReason::Overflow`]. Returns [`BrokenPipe`](io::ErrorKind::BrokenPipe) if it is ending
    /// already.
    ///
    /// # Examples
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
    /// [`Budget::output_per_connection`]: crate::Budget::output_per_connection
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // What nearly every write is, and small enough to become a part of its caller.
        if self.connection.has(Flags::SENDING) {
            let sent = stream::send_now(self.connection.fd.as_raw_fd(), bytes);
            calls::note_written(self.local, self.connection);
            if sent.is_all() {
                self.local.recorder.bytes_out(sent.bytes.len());
                return Ok(());
            }
            return self.again().write_rest(sent.bytes, sent.answer);
        }
        self.again().write_rest(bytes, Answer::NOTHING)
    }

    /// Finishes a write that has not sent everything, or that could not be tried.
    #[cold]
    #[inline(never)]
    fn write_rest(mut self, bytes: &[u8], answer: Answer) -> io::Result<()> {
        let sent = answer.result();
        self.local.recorder.bytes_out(*sent.as_ref().unwrap_or(&0));
        let sent = match sent {
            // Not tried, as the descriptor is no socket, or as writers may have gone first.
            Ok(0) if !bytes.is_empty() && self.may_write_now() => {
                let is_socket = self.connection.has(Flags::SOCKET);
                let write = if is_socket { stream::send } else { stream::write };
                calls::note_written(self.local, self.connection);
                self.check_sent(write(self.descriptor(), bytes))?
            }
            other => self.check_sent(other)?,
        };
        self.queue(&[IoSlice::new(&bytes[sent..])])
    }

    /// Sends several slices as if they were one. See [`EvContext::write`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::write`].
    ///
    /// # Examples
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
    pub fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        if bufs.len() > stream::MOST_SLICES && self.connection.has(Flags::MESSAGES) {
            // One system call takes a limited number of slices (IOV_MAX), and the datagram or
            // record would end with them.
            return self.write(&joined(bufs));
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut sent = 0;
        if total > 0 && self.connection.has(Flags::SOCKET) && self.may_write_now() {
            calls::note_written(self.local, self.connection);
            sent = self.check_sent(stream::send_vectored(self.descriptor(), bufs))?;
            if sent == total {
                return Ok(());
            }
        }
        // Other descriptors are written by the flush alone, which knows how.
        let flushes_now = total > 0 && !self.connection.has(Flags::SOCKET) && self.may_write_now();
        let mut rest = Vec::with_capacity(bufs.len());
        for buf in bufs {
            let skip = sent.min(buf.len());
            rest.push(IoSlice::new(&buf[skip..]));
            sent -= skip;
        }
        self.queue(&rest)?;
        if flushes_now {
            calls::note_written(self.local, self.connection);
            self.flush()?;
        }
        Ok(())
    }

    /// Returns `true` if bytes may go to the descriptor right now, of whatever kind it is, after
    /// what writers have brought.
    pub(crate) fn may_write_now(&mut self) -> bool {
        let may_have_output = self.connection.has(Flags::HAS_OUTPUT | Flags::HAS_WRITER);
        (!may_have_output || self.drain_writers_first()) && self.connection.state() == State::Open
    }

    /// Returns how many bytes an attempt to send has sent. Its error ends the connection, unless it
    /// belongs to one datagram.
    fn check_sent(&mut self, attempt: io::Result<usize>) -> io::Result<usize> {
        match attempt {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            // ECONNREFUSED, for instance, is what the peer's machine said of an earlier datagram.
            Err(error) if self.connection.has(Flags::DATAGRAMS) => Err(error),
            Err(error) => Err(self.fail(error)),
            sent => sent,
        }
    }

    /// Queues copies of `bufs`, within the limit of the connection.
    #[cold]
    fn queue(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        // The error above may have ended it, and so may the writers that went first.
        if self.connection.state() != State::Open {
            return Err(self.not_open_error());
        }
        let more: usize = bufs.iter().map(|buf| buf.len()).sum();
        if more == 0 {
            return Ok(());
        }
        let limit = self.local.budget.output_per_connection;
        let keeps_apart = self.connection.has(Flags::MESSAGES);
        let is_queued = self.connection.with_extra(|extra| {
            // Bytes in memory, without those of files: see `Budget::output_per_connection`.
            let fits = extra.outbox.in_memory().saturating_add(more) <= limit;
            if fits && keeps_apart {
                // All slices of one call are one datagram or record.
                extra.outbox.push_apart(joined(bufs).into());
            } else if fits {
                bufs.iter().for_each(|buf| extra.outbox.push(buf));
            }
            fits
        });
        if !is_queued {
            request_close::connection(self.local, self.connection, CloseReason::Overflow);
            return Err(output_overflow(limit));
        }
        self.connection.set(Flags::HAS_OUTPUT | Flags::DIRTY);
        flush::output_changed(self.local, self.connection);
        Ok(())
    }

    /// Returns how many bytes are queued and not in the kernel yet: those of [`EvContext::write`],
    /// of files, and of a [`Writer`](crate::Writer).
    ///
    /// # Examples
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
        if self.connection.has(Flags::HAS_OUTPUT | Flags::HAS_WRITER) {
            self.again().queued()
        } else {
            0
        }
    }

    /// Counts the bytes of the connection's outbox and of its writers.
    #[cold]
    fn queued(self) -> usize {
        let queued = self.connection.with_present_extra(|extra| extra.outbox.pending());
        queued.unwrap_or(0).saturating_add(self.uncollected())
    }
}

/// Returns the bytes of all slices, one after the other.
fn joined(bufs: &[IoSlice<'_>]) -> Vec<u8> {
    bufs.iter().flat_map(|buf| buf.iter().copied()).collect()
}
