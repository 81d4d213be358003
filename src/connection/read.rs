//! What a callback reads.
//!
//! A read goes to the kernel at once, into a buffer that the poller lends, and its bytes count for
//! the budget of the event. Nothing is read ahead: what a handler leaves stays in the socket, where
//! it slows the peer down.

use std::io;
use std::os::fd::AsRawFd;

use crate::local::context::{EvContext, MIN_READ_COST};
use crate::local::deferred::Deferred;
use crate::local::flags::Flags;
use crate::sys::buffers::Chunk;
use crate::sys::stream;
use crate::sys::syscall::Answer;

impl<'a> EvContext<'a> {
    /// Reads the available bytes into the poller's buffer, and lends it to the caller. An empty
    /// chunk is the end of the stream.
    ///
    /// Nothing is copied, and the connection needs no buffer of its own. One call reads at most
    /// what the buffer holds ([`Builder::read_buffer_size`](crate::Builder::read_buffer_size)).
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read now, or if the
    /// budget of this event, [`Budget::read_per_event`], is spent: `on_read` is called again for
    /// the rest. A callback may pass this error on, and the connection stays open. Otherwise
    /// returns the connection's error.
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
    ///     if data.is_empty() {
    ///         return Ok(Action::Close);
    ///     }
    ///     cx.write(format!("{} bytes", data.len()).as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "5 bytes");
    /// ```
    ///
    /// [`Budget::read_per_event`]: crate::Budget::read_per_event
    // Inlined always: a chunk that stays in registers saves a tenth of a whole request. The usual
    // read therefore has a return of its own, and no error is made on the way to it.
    #[inline(always)]
    pub fn read(&mut self) -> io::Result<Chunk<'a>> {
        // Paid beforehand, which tells in the same instruction whether there was enough. Where it was
        // not, or the descriptor is no socket, `receive` tells which.
        self.charge(MIN_READ_COST);
        if self.local.read_left.get() < 0 {
            return self.read_rarely();
        }
        match self.local.buffers.receive(self.connection.fd.as_raw_fd()) {
            Ok(chunk) => {
                self.local.recorder.bytes_in(chunk.len());
                self.charge(chunk.len());
                Ok(chunk)
            }
            Err(answer) => self.read_nothing(answer),
        }
    }

    /// Returns what a read without bytes means: an error, or the end of the stream.
    #[inline(always)]
    fn read_nothing(&self, answer: Answer) -> io::Result<Chunk<'a>> {
        let mut cx = self.again();
        self.local.buffers.lend(move |_| {
            cx.refund(MIN_READ_COST);
            cx.note_empty_read(answer.result().err()).map_or(Ok(0), Err)
        })
    }

    /// Does the work of [`EvContext::read`], from any kind of descriptor and whatever the budget.
    #[inline(always)]
    fn read_rarely(&self) -> io::Result<Chunk<'a>> {
        let mut cx = self.again();
        self.local.buffers.lend(move |space| {
            cx.refund(MIN_READ_COST);
            cx.receive(space)
        })
    }

    /// Reads the available bytes into `buf`, and returns their number. Zero is the end of the
    /// stream, unless `buf` is empty.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::read`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let mut head = [0; 4];
    ///     let count = cx.read_into(&mut head)?;
    ///     cx.write(&head[..count])?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hell");
    /// ```
    pub fn read_into(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.receive(buf)
    }

    /// Reads into `space`, from any kind of descriptor, unless the budget is spent.
    #[inline(never)]
    fn receive(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.readable() <= 0 && self.present().is_ok() {
            return Err(self.budget_spent());
        }
        let fd = self.present()?;
        let received = if self.connection.has(Flags::SOCKET) {
            stream::recv(fd, space)
        } else {
            stream::read(fd, space)
        };
        let Ok(count @ 1..) = received else {
            return self.note_empty_read(received.err()).map_or(Ok(0), Err);
        };
        self.charge(MIN_READ_COST + count);
        Ok(count)
    }

    /// Notes a read that has brought no bytes, and returns its error, if it had one.
    ///
    /// The end of the input and the failure of a socket are both the last thing to be read. epoll
    /// would report them for ever to a handler that keeps the connection. The error of any other
    /// descriptor may belong to this one read: a buffer that is too small for an eventfd, for
    /// example.
    #[cold]
    fn note_empty_read(&mut self, failure: Option<io::Error>) -> Option<io::Error> {
        let is_over = match &failure {
            None => true,
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Some(_) => self.connection.has(Flags::SOCKET),
        };
        // An empty datagram is a datagram.
        if is_over && !self.connection.has(Flags::DATAGRAMS) {
            self.connection.set(Flags::READ_EOF | Flags::DIRTY);
        }
        failure
    }

    /// Leaves the rest to be read in the next turn, and returns the error that says so.
    #[cold]
    pub(crate) fn budget_spent(&mut self) -> io::Error {
        if self.connection.interest().is_edge() {
            // The edge has been reported: no event comes for the bytes that are left.
            self.local.defer(Deferred::Reread(self.token()));
        }
        io::ErrorKind::WouldBlock.into()
    }
}
