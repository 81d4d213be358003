//! Sends files, in order with the writes around them.
//!
//! A file is one more segment of the outbox. So it waits behind what was written before it, counts
//! for the watermarks, and is sent by `flush` like everything else.

use std::fs::File;
use std::io;

use crate::connection::{flush, request_close};
use crate::local::action::CloseReason;
use crate::local::calls;
use crate::local::context::EvContext;
use crate::local::flags::{Flags, State};

impl EvContext<'_> {
    /// Sends `len` bytes of `file`, from `offset` on: after everything that was written before, and
    /// before everything that is written later.
    ///
    /// The bytes go from the page cache to the socket without passing through this process:
    /// sendfile(2). Where the kernel can't do that, as for some file systems, they are read into
    /// the poller's buffer and sent from there. Reading a file that isn't in the page cache blocks
    /// the poller for as long as the disk takes.
    ///
    /// Like [`EvContext::write`], this sends at once what there is room for, up to
    /// [`Budget::send_per_event`] bytes, and queues the rest. The file is closed when it has been
    /// sent. Its position is neither used nor changed. The bytes of a file count for
    /// [`EvContext::pending_output`] and the watermarks, but not for
    /// [`Budget::output_per_connection`], since they take no memory. The files themselves count for
    /// [`Budget::files_per_connection`].
    ///
    /// What is sent is what the file contains at that time. If it has become shorter than
    /// `offset + len`, the connection ends with
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), so that the peer never takes a part for the
    /// whole.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if no file can be as long as
    /// `offset + len`; nothing has changed then.
    ///
    /// Returns the error of the connection or of the file, with which the connection then ends. If
    /// the file fails later, its error goes to `on_close` alone. Returns
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) if [`Budget::files_per_connection`] files
    /// are queued already; the connection then ends with [`CloseReason::Overflow`]. Returns
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if it is ending already.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
    /// use std::fs::File;
    /// use std::io::{self, Read};
    ///
    /// struct Download;
    ///
    /// impl EvHandler for Download {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let file = File::open("Cargo.toml")?;
    ///         let len = file.metadata()?.len();
    ///         cx.write(format!("{len}\n").as_bytes())?;
    ///         cx.send_file(file, 0, len)?;
    ///         Ok(Action::Close)
    ///     }
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Close)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Download)?;
    /// let running = reactor.start()?;
    ///
    /// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// let (len, text) = answer.split_once('\n').unwrap();
    /// assert_eq!(len.parse(), Ok(text.len()));
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Budget::send_per_event`]: crate::Budget::send_per_event
    /// [`Budget::output_per_connection`]: crate::Budget::output_per_connection
    /// [`Budget::files_per_connection`]: crate::Budget::files_per_connection
    pub fn send_file(&mut self, file: File, offset: u64, len: u64) -> io::Result<()> {
        // The kernel counts bytes of files in a signed number (off_t).
        if offset.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no file is as long as offset + len",
            ));
        }
        let has_room = self.may_write_now();
        let connection = self.connection;
        if connection.state() != State::Open {
            return Err(self.not_open_error());
        }
        if len == 0 {
            return Ok(());
        }
        let limit = self.local.budget.files_per_connection;
        let rejected = connection.with_extra(|extra| {
            if extra.outbox.files() >= limit {
                return Some(file);
            }
            extra.outbox.push_file(file, offset, len);
            None
        });
        // The file is dropped here, outside of the borrow: its close may block on some file
        // systems.
        if rejected.is_some() {
            request_close::connection(self.local, connection, CloseReason::Overflow);
            return Err(too_many_files(limit));
        }
        connection.set(Flags::HAS_OUTPUT | Flags::DIRTY);
        calls::note_written(self.local, self.connection);
        if has_room {
            self.flush()?;
        } else {
            flush::output_changed(self.local, connection);
        }
        Ok(())
    }
}

/// Returns the error of a callback that sends more files than may be queued.
fn too_many_files(limit: usize) -> io::Error {
    let message = format!("more than {limit} stretches of files are queued");
    io::Error::new(io::ErrorKind::QuotaExceeded, message)
}
