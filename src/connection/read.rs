//! What a callback reads.

use std::io;
use std::os::fd::AsFd;

use crate::local::context::EvContext;
use crate::local::deferred::Deferred;
use crate::local::flags::Flags;
use crate::parts::buffers::Chunk;
use crate::sys::stream;

/// What a read takes of an event's budget at the least: a system call takes its time, however few
/// bytes it brings. A power of two, which is `or`ed: no more than it is added to what has come.
const LEAST_READ: usize = 2048;

impl<'a> EvContext<'a> {
    /// Reads what there is into the poller's buffer, and lends it. No copy, and no buffer of the
    /// connection's own. An empty chunk is the end of the stream.
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
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is nothing to read now, or when this event's
    /// budget (`Budget::read_per_event`) is spent: on_read comes again for the rest. Otherwise
    /// the connection's error.
    // Always: a chunk that stays in registers saves a tenth of the whole path. So the usual read
    // comes to its own return, and no error is made on the way to it.
    #[inline(always)]
    pub fn read(&mut self) -> io::Result<Chunk<'a>> {
        let buffers = &self.local.buffers;
        let mut buffer = buffers.take().unwrap_or_else(|| buffers.another());
        let failure = match &*self.fd {
            Some(fd) if self.read_left > 0 && self.connection.has(Flags::SOCKET) => {
                match stream::recv_uncounted(fd.as_fd(), &mut buffer) {
                    Ok(count) if count > 0 => {
                        self.local.recorder.bytes_in(count);
                        self.read_left -= (count | LEAST_READ) as isize;
                        return Ok(buffers.chunk(buffer, count));
                    }
                    nothing => self.received_nothing(nothing.err()),
                }
            }
            _ => match self.receive(&mut buffer) {
                Ok(count) => return Ok(buffers.chunk(buffer, count)),
                Err(error) => Some(error),
            },
        };
        match failure {
            None => Ok(buffers.chunk(buffer, 0)),
            Some(error) => {
                buffers.take_back(buffer);
                Err(error)
            }
        }
    }

    /// Reads what there is into `buf`; 0 is the end of the stream, if `buf` isn't empty.
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
    ///
    /// # Errors
    /// As [`EvContext::read`].
    pub fn read_into(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.receive(buf)
    }

    /// As in `read`, for any descriptor, and after a spent budget.
    #[inline(never)]
    fn receive(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.read_left <= 0 {
            return Err(self.spent());
        }
        let fd = self.present()?;
        let received = if self.connection.has(Flags::SOCKET) {
            stream::recv(fd, space)
        } else {
            stream::read(fd, space)
        };
        let Ok(count @ 1..) = received else {
            return self.received_nothing(received.err()).map_or(Ok(0), Err);
        };
        self.read_left -= (count | LEAST_READ) as isize;
        Ok(count)
    }

    /// No bytes: not yet, or never again. A failed socket has nothing more to read either, and a
    /// handler that doesn't care must not be left with it for ever. Of other descriptors an error
    /// may speak of this one read, as of a buffer that is too small for an eventfd.
    #[cold]
    fn received_nothing(&mut self, failure: Option<io::Error>) -> Option<io::Error> {
        let is_over = match &failure {
            None => true,
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Some(_) => self.connection.has(Flags::SOCKET),
        };
        if is_over && !self.connection.has(Flags::DATAGRAMS) {
            self.connection.turn_on(Flags::READ_EOF | Flags::DIRTY);
        }
        failure
    }

    /// This event's budget is spent: the rest comes in the next turn.
    #[cold]
    fn spent(&mut self) -> io::Error {
        if self.connection.interest().is_edge() {
            self.local.defer(Deferred::Reread(self.token()));
        }
        io::ErrorKind::WouldBlock.into()
    }
}
