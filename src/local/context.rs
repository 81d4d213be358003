//! `EvContext`: what a callback is given.
//!
//! The type is here, with the methods that need no more than the connection. Methods that read,
//! write or change more stand in the files above that do it, in `connection/` and `source/`.

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::time::Instant;
use std::{fmt, io};

use crate::base::token::Token;
use crate::local::connection::Connection;
use crate::local::errors::{closing_error, stream_taken};
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::parts::budget::Budget;
use crate::sys::clock;
use crate::sys::fd::OwnedFd;
use crate::task::{self, join::JoinHandle};

/// The connection that a callback is called for, and the poller that it lives in.
///
/// | to | use |
/// |---|---|
/// | read | [`read`](EvContext::read), [`read_into`](EvContext::read_into) |
/// | write | [`write`](EvContext::write), [`write_vectored`](EvContext::write_vectored), [`send_file`](EvContext::send_file) |
/// | receive and send datagrams | [`recv_batch`](EvContext::recv_batch), [`send_batch`](EvContext::send_batch), [`recv_from`](EvContext::recv_from), [`send_to`](EvContext::send_to) |
/// | see and limit what is queued | [`pending_output`](EvContext::pending_output), [`set_watermarks`](EvContext::set_watermarks) |
/// | let other threads and tasks write | [`writer`](EvContext::writer) |
/// | let other threads call the handler | [`notifier`](EvContext::notifier) |
/// | wait for time | [`set_timer`](EvContext::set_timer), [`set_interval`](EvContext::set_interval), [`set_deadlines`](EvContext::set_deadlines) |
/// | choose the events | [`set_interest`](EvContext::set_interest) |
/// | end a connection | [`Action::Close`](crate::Action::Close) for this one, [`close`](EvContext::close) for any of this poller |
/// | begin another one | [`connect`](EvContext::connect), [`register`](EvContext::register), [`ConnectPool::get_with`](crate::ConnectPool::get_with) |
/// | pass this one on | [`take_stream`](EvContext::take_stream) to a task, [`relay`](EvContext::relay) to another connection, [`release`](EvContext::release) to its pool |
/// | use the poller | [`spawn_local`](EvContext::spawn_local), [`with_local`](EvContext::with_local), [`reactor`](EvContext::reactor) |
///
/// Each method acts at once, and calls that follow from it come later in the turn: a callback is
/// never called inside another one.
///
/// A context lives for one callback. Other threads, and tasks, write to the connection by a
/// [`Writer`](crate::Writer), which [`EvContext::writer`] returns. After [`EvContext::take_stream`]
/// the connection belongs to a task: methods that return a result fail with
/// [`NotConnected`](io::ErrorKind::NotConnected).
///
/// # Examples
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
    /// The poller that the connection lives in.
    pub(crate) local: &'a Local,
    /// The connection that the callback is called for.
    pub(crate) connection: &'a Connection,
}

/// What a read takes of an event's budget at the least, in bytes: a system call takes its time,
/// however few bytes it brings.
pub(crate) const MIN_READ_COST: usize = 2048;

/// What stands in `Local::read_left` beside the bytes that may be read: taking a read's least cost away
/// leaves less than nothing if nothing was left.
const READ_BIAS: isize = MIN_READ_COST as isize - 1;

/// What stands there as well, if the descriptor is no socket: one look tells [`EvContext::read`] that
/// its read is usual.
const NO_SOCKET: isize = isize::MIN / 2;

impl<'a> EvContext<'a> {
    /// Makes the context of one callback.
    #[inline]
    pub(crate) fn new(local: &'a Local, connection: &'a Connection) -> EvContext<'a> {
        let fresh = EvContext::budget_of_socket(local);
        local.read_left.set(fresh + if connection.has(Flags::SOCKET) { 0 } else { NO_SOCKET });
        EvContext { local, connection }
    }

    /// Makes the context of a callback of a socket, for which `read_left` is
    /// [`EvContext::budget_of_socket`].
    #[inline(always)]
    pub(crate) fn of_socket(
        local: &'a Local,
        connection: &'a Connection,
        read_left: isize,
    ) -> EvContext<'a> {
        local.read_left.set(read_left);
        EvContext { local, connection }
    }

    /// Returns the same context once more, for a call that takes it by value. It goes in registers, so
    /// that the caller need not take the one that it was lent for changed by whatever it calls.
    #[inline(always)]
    pub(crate) fn again(&self) -> EvContext<'a> {
        EvContext { local: self.local, connection: self.connection }
    }

    /// Returns what `Local::read_left` begins with, if the descriptor is a socket.
    #[inline]
    pub(crate) fn budget_of_socket(local: &Local) -> isize {
        const MOST: usize = isize::MAX as usize / 4;
        local.budget.read_per_event.min(MOST) as isize + READ_BIAS
    }

    /// Returns how many bytes may still be read for this event. It is negative after a read of more.
    pub(crate) fn readable(&self) -> isize {
        let is_socket = self.connection.has(Flags::SOCKET);
        self.local.read_left.get() - READ_BIAS - if is_socket { 0 } else { NO_SOCKET }
    }

    /// Takes `cost` off the bytes that may still be read for this event.
    #[inline]
    pub(crate) fn charge(&mut self, cost: usize) {
        self.local.read_left.set(self.local.read_left.get() - cost as isize);
    }

    /// Takes the cost of a read back.
    pub(crate) fn refund(&mut self, cost: usize) {
        self.local.read_left.set(self.local.read_left.get() + cost as isize);
    }

    /// Returns `true` if the callback has read any bytes.
    #[inline]
    pub(crate) fn has_read(&self) -> bool {
        self.readable() < EvContext::budget_of_socket(self.local) - READ_BIAS
    }

    /// Makes every read of this callback find nothing.
    pub(crate) fn refuse_to_read(&mut self) {
        self.local.read_left.set(self.local.read_left.get() - self.readable());
    }

    /// Returns the token of the connection, by which [`EvContext::close`] and other methods of the
    /// same poller name it. No two connections of a poller ever have the same one.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"bye")?;
    ///     // The same as returning `Action::Close`.
    ///     let me = cx.token();
    ///     assert!(cx.close(me));
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "bye");
    /// ```
    pub fn token(&self) -> Token {
        self.connection.token()
    }

    /// Borrows the descriptor, for system calls that keep nothing of it.
    ///
    /// # Panics
    ///
    /// Panics if a stream has taken it.
    #[inline]
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.connection.fd.borrow().expect("take_stream has taken the connection over")
    }

    /// Takes the descriptor out, for the caller to close it. Called in `on_close` of the crate's
    /// own handlers.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.connection.take_fd()
    }

    /// Borrows the descriptor.
    ///
    /// # Errors
    ///
    /// Returns an error if a stream has taken it.
    #[inline]
    pub(crate) fn present(&self) -> io::Result<BorrowedFd<'_>> {
        self.connection.fd.borrow().ok_or_else(stream_taken)
    }

    /// Returns the error of a request that only an open connection may make.
    #[cold]
    pub(crate) fn not_open_error(&self) -> io::Error {
        if self.present().is_err() { stream_taken() } else { closing_error() }
    }

    /// Returns the time of this turn of the poller.
    ///
    /// The clock is read when a turn first asks for the time, so this costs little, and all
    /// callbacks of a turn see the same time. It may be older than [`Instant::now`] by as long as
    /// the turn has taken.
    ///
    /// # Examples
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

    /// Returns the limits of the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let _question = cx.read()?;
    ///     let most = cx.budget().output_per_connection;
    ///     cx.write(format!("no answer is longer than {most} bytes").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "no answer is longer than 8388608 bytes");
    /// ```
    pub fn budget(&self) -> &'a Budget {
        &self.local.budget
    }

    /// Lends the poller's value of type `T` to `f`, and makes it by `T::default()` if there is none
    /// yet. See [`with_local`](crate::with_local).
    ///
    /// # Panics
    ///
    /// Panics if `f` calls it again for the same type.
    ///
    /// # Examples
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
    pub fn with_local<T: Default + 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.local.values.with(T::default, f)
    }

    /// Lends the poller's value of type `T` to `f`, and makes it by `init` if there is none: see
    /// [`with_local_or`](crate::with_local_or).
    ///
    /// # Panics
    ///
    /// Panics if `f` calls it again for the same type.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     let number = cx.with_local_or(|| 100_u64, |requests| {
    ///         *requests += 1;
    ///         *requests
    ///     });
    ///     cx.write(format!("request {number}").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "request 101");
    /// ```
    pub fn with_local_or<T: 'static, R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        self.local.values.with(init, f)
    }

    /// Spawns a task on this poller. The future need not be `Send`. See
    /// [`spawn_local`](crate::spawn_local).
    ///
    /// Dropping the handle lets the task run on. A task that is to write to the connection takes a
    /// [`Writer`](crate::Writer) along.
    ///
    /// # Examples
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
