//! What a callback is given.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::parts::buffers::Chunk;
use crate::sys::{clock, socket, stream};
use crate::task::{self, join::JoinHandle};

use super::connection::{Connection, State, bits};
use super::handler::{CloseReason, EvHandler, copy_error};
use super::local::{Due, Local};
use super::output::{ending, too_much};

/// The connection that a callback is called for, and the poller that it lives in.
///
/// A context lives for one callback.
///
/// ```
/// use corepoll::{Action, EvContext, EvHandler};
/// use std::io;
///
/// /// Answers with what it has heard so far.
/// struct Tally(usize);
///
/// impl EvHandler for Tally {
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         let data = cx.read()?;
///         if data.is_empty() {
///             return Ok(Action::Close);
///         }
///         self.0 += data.len();
///         cx.write(format!("{} of {}\n", data.len(), self.0).as_bytes())?;
///         // All connections of this poller.
///         cx.with_local(|total: &mut usize| *total += data.len());
///         Ok(Action::Keep)
///     }
/// }
/// ```
pub struct EvContext<'a> {
    pub(crate) local: &'a Local,
    pub(super) connection: &'a Connection,
    /// The descriptor; None once a stream has taken it.
    pub(super) fd: &'a mut Option<OwnedFd>,
    /// Bytes that may still be read for this event.
    pub(super) read_left: usize,
}

impl<'a> EvContext<'a> {
    #[inline]
    pub(super) fn new(
        local: &'a Local,
        connection: &'a Connection,
        fd: &'a mut Option<OwnedFd>,
    ) -> EvContext<'a> {
        EvContext { local, connection, fd, read_left: local.budget.read_per_event }
    }

    /// In this callback nothing is read.
    pub(super) fn refuse_to_read(&mut self) {
        self.read_left = 0;
    }

    /// The connection's name in its poller.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"bye")?;
    ///     // What `Action::Close` does, by its name.
    ///     let me = cx.token();
    ///     assert!(cx.close(me));
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "bye");
    /// ```
    pub fn token(&self) -> Token {
        self.connection.token
    }

    /// The descriptor, for system calls that leave nothing of it behind.
    #[inline]
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("the connection was given away by take_stream").as_fd()
    }

    /// The descriptor, unless a stream has taken it.
    #[inline]
    fn present(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or_else(taken)
    }

    /// The descriptor, for system calls that there is no method for. From now on somebody else may
    /// hold the same socket, so a close leaves it as it is: the connection is not listened to for
    /// `Budget::close_linger`, and a peer that is still sending may lose our last words.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.read()?;
    ///     // An option that the crate has no method for.
    ///     let mark = socket2::SockRef::from(&cx.fd()).tos_v4()?;
    ///     cx.write(format!("marked {mark}").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "marked 0");
    /// ```
    ///
    /// # Panics
    /// After [`EvContext::take_stream`] has taken the connection over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // From here on it may have been duplicated.
        self.connection.turn_on(bits::LENT);
        self.descriptor()
    }

    /// The peer's address: getpeername(2).
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let peer = cx.peer_addr()?.ip().to_string();
    ///     cx.write(peer.as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "127.0.0.1");
    /// ```
    ///
    /// # Errors
    /// The connection has ended or was taken over, or it is not an IP socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        socket::peer_addr(self.present()?)
    }

    /// Our address: getsockname(2).
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let here = cx.local_addr()?.ip().to_string();
    ///     cx.write(here.as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "127.0.0.1");
    /// ```
    ///
    /// # Errors
    /// It is not an IP socket, or it was taken over.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.present()?)
    }

    /// TCP_NODELAY: whether small segments are sent at once. See tcp(7).
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.set_nodelay(true)?;
    ///     let data = cx.read()?;
    ///     cx.write(&data)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    ///
    /// # Errors
    /// It is not a TCP socket, or a stream has taken the connection over.
    pub fn set_nodelay(&mut self, on: bool) -> io::Result<()> {
        let fd = self.fd.as_ref().ok_or_else(ending)?;
        socket::set_nodelay(fd.as_fd(), on)
    }

    // ---- reading ----

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
            Some(fd) if self.read_left > 0 && self.connection.has(bits::SOCKET) => {
                match stream::recv_uncounted(fd.as_fd(), &mut buffer) {
                    Ok(count) if count > 0 => {
                        self.local.recorder.bytes_in(count);
                        self.read_left = self.read_left.saturating_sub(count);
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
        if self.read_left == 0 {
            return Err(self.spent());
        }
        let fd = self.present()?;
        let received = if self.connection.has(bits::SOCKET) {
            stream::recv(fd, space)
        } else {
            stream::read(fd, space)
        };
        let Ok(count @ 1..) = received else {
            return self.received_nothing(received.err()).map_or(Ok(0), Err);
        };
        self.read_left = self.read_left.saturating_sub(count);
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
            Some(_) => self.connection.has(bits::SOCKET),
        };
        if is_over && !self.connection.has(bits::DATAGRAMS) {
            self.connection.turn_on(bits::END | bits::DIRTY);
        }
        failure
    }

    /// This event's budget is spent: the rest comes in the next turn.
    #[cold]
    fn spent(&mut self) -> io::Error {
        if self.connection.interest().is_edge() {
            self.local.later(Due::Again(self.token()));
        }
        io::ErrorKind::WouldBlock.into()
    }

    // ---- writing ----

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
                let is_socket = self.connection.has(bits::SOCKET);
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
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut sent = 0;
        if total > 0 && self.connection.has(bits::SOCKET) && self.may_write_now() {
            self.local.has_written.set(true);
            sent = self.sent(stream::send_vectored(self.descriptor(), bufs))?;
            if sent == total {
                return Ok(());
            }
        }
        let is_next = total > 0 && !self.connection.has(bits::SOCKET) && self.may_write_now();
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
        self.connection.has_only(bits::SOCKET | bits::OPEN, bits::OUTPUT | bits::WRITER)
    }

    /// As `may_send_now`, for any descriptor, and after what others have written.
    pub(super) fn may_write_now(&mut self) -> bool {
        (!self.connection.has(bits::OUTPUT | bits::WRITER) || self.let_writers_go_first())
            && self.connection.state() == State::Open
    }

    /// How much of an attempt to send came true.
    fn sent(&mut self, attempt: io::Result<usize>) -> io::Result<usize> {
        match attempt {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if self.connection.has(bits::DATAGRAMS) => Err(error),
            Err(error) => Err(self.fail(error)),
            sent => sent,
        }
    }

    /// The connection has failed: it ends, whatever the handler does with the error.
    #[cold]
    pub(super) fn fail(&mut self, error: io::Error) -> io::Error {
        self.local.request_close(self.connection, CloseReason::Error(copy_error(&error)));
        error
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
        let is_apart = self.connection.has(bits::APART);
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
            self.local.request_close(self.connection, CloseReason::Overflow);
            return Err(too_much(most));
        }
        self.connection.turn_on(bits::OUTPUT | bits::DIRTY);
        self.local.output_changed(self.connection);
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
        if self.connection.has(bits::OUTPUT | bits::WRITER) { self.queued() } else { 0 }
    }

    #[cold]
    fn queued(&self) -> usize {
        let queued = self.connection.with_present_extra(|extra| extra.outbox.pending());
        queued.unwrap_or(0).saturating_add(self.uncollected())
    }

    // ---- the registration ----

    /// Changes what the handler wants to hear of. Queued output is flushed in any case. An
    /// edge-triggered interest that is set, also the same one again, tells anew of what holds
    /// already: who has left bytes unread is called for them.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"wait")?;
    ///     // Nothing more of this peer for now.
    ///     cx.set_interest(Interest::NONE)?;
    ///     cx.set_timer(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
    ///     cx.set_interest(Interest::READABLE)?;
    ///     # let _ = cx.read();
    ///     # return Ok(Action::Close);
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "wait");
    /// ```
    ///
    /// # Errors
    /// The connection is ending.
    pub fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        if self.connection.state() != State::Open {
            return Err(ending());
        }
        self.connection.set_interest(interest);
        Ok(())
    }

    /// Registers another descriptor with this poller: a pipe, an eventfd, a timerfd, any socket.
    /// It is made non-blocking, and its `on_open` is called later in this turn. Since others may have
    /// duplicates of it, its close is a plain one: see [`EvContext::fd`].
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     struct Bell;
    ///     impl EvHandler for Bell {
    ///         fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///             Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    ///         }
    ///     }
    ///
    ///     let (reader, _writer) = io::pipe()?;
    ///     cx.register(reader.into(), Interest::READABLE, Bell)?;
    ///     cx.write(b"registered")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "registered");
    /// ```
    ///
    /// # Errors
    /// epoll_ctl(2)'s: a regular file cannot be registered (EPERM). The handler is dropped.
    pub fn register<H: EvHandler>(
        &mut self,
        fd: OwnedFd,
        interest: Interest,
        handler: H,
    ) -> io::Result<Token> {
        self.local.register_foreign(fd, interest, Box::new(handler)).map_err(|(error, _)| error)
    }

    /// Ends a connection of this poller, this one too, as [`Action::Close`] would. False: it is
    /// gone, or ending already.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let me = cx.token();
    ///     assert!(cx.close(me));
    ///     // It is ending already.
    ///     assert!(!cx.close(me));
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "");
    /// ```
    ///
    /// [`Action::Close`]: crate::Action::Close
    pub fn close(&mut self, other: Token) -> bool {
        if other == self.token() && self.local.has_written.get() {
            self.connection.turn_on(bits::LAST_WORDS);
        }
        self.local.close_token(other)
    }

    // ---- the poller ----

    /// The time of this turn: read once a turn, when it is first asked for.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let start = cx.now();
    ///     let data = cx.read()?;
    ///     cx.write(&data)?;
    ///     // Still the time of this turn.
    ///     assert_eq!(cx.now(), start);
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn now(&self) -> Instant {
        clock::to_instant(self.local.now())
    }

    /// Lends the poller's value of type `T` to `f`: see [`with_local`](crate::with_local).
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let number = cx.with_local(|requests: &mut u64| {
    ///         *requests += 1;
    ///         *requests
    ///     });
    ///     cx.write(format!("request {number}").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "request 1");
    /// ```
    ///
    /// # Panics
    /// If it is called inside itself for the same type.
    pub fn with_local<T: Default + 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.local.cache.with(f)
    }

    /// Spawns a task on this poller: see [`spawn_local`](crate::spawn_local).
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let writer = cx.writer();
    ///     drop(cx.spawn_local(async move {
    ///         time::sleep(Duration::from_millis(1)).await;
    ///         let _ = writer.write(&b"later"[..]);
    ///         writer.close();
    ///     }));
    /// # let _ = cx.read()?;
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "later");
    /// ```
    pub fn spawn_local<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        match task::spawn(future) {
            Ok(handle) => handle,
            Err(_) => unreachable!("a callback runs inside its poller"),
        }
    }
}

impl fmt::Debug for EvContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvContext")
            .field("token", &self.token())
            .field("interest", &self.connection.interest())
            .finish_non_exhaustive()
    }
}

/// What a callback is told whose connection a stream has taken.
#[cold]
fn taken() -> io::Error {
    let message = "the connection was given away by take_stream";
    io::Error::new(io::ErrorKind::NotConnected, message)
}
