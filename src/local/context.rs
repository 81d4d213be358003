//! What a callback is given.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;
use std::{fmt, io};

use crate::base::token::Token;
use crate::local::connection::Connection;
use crate::local::errors::{closing_error, stream_taken};
use crate::local::flags::Flags;
use crate::local::state::Local;
use crate::sys::{clock, socket};
use crate::task::{self, join::JoinHandle};

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
    pub(crate) connection: &'a Connection,
    /// The descriptor; None once a stream has taken it.
    pub(crate) fd: &'a mut Option<OwnedFd>,
    /// Bytes that may still be read for this event.
    pub(crate) read_left: isize,
}

impl<'a> EvContext<'a> {
    #[inline]
    pub(crate) fn new(
        local: &'a Local,
        connection: &'a Connection,
        fd: &'a mut Option<OwnedFd>,
    ) -> EvContext<'a> {
        EvContext { local, connection, fd, read_left: local.budget.read_per_event as isize }
    }

    /// In this callback nothing is read.
    pub(crate) fn refuse_to_read(&mut self) {
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
        self.fd.as_ref().expect("take_stream has taken the connection over").as_fd()
    }

    /// Takes the descriptor away, to be closed by the caller: in `on_close`.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.fd.take()
    }

    /// The descriptor, unless a stream has taken it.
    #[inline]
    pub(crate) fn present(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or_else(stream_taken)
    }

    /// Returns the error of a request that only an open connection may make.
    #[cold]
    pub(crate) fn not_open_error(&self) -> io::Error {
        if self.fd.is_none() { stream_taken() } else { closing_error() }
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
        self.connection.set(Flags::FD_EXPOSED);
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

    /// Whether this callback was called for what is out of band: TCP's urgent byte, which MSG_OOB
    /// of recv(2) takes through [`EvContext::fd`]; a change of a file of procfs or sysfs; or a
    /// message in the socket's error queue, which MSG_ERRQUEUE takes.
    ///
    /// Urgent bytes and changes are told to those who ask for [`Interest::PRIORITY`], messages in
    /// the error queue to those who ask for [`Interest::READABLE`] as well. A message is told once,
    /// and again with other events for as long as the handler leaves it in the queue.
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler, Interest, Reactor};
    /// use std::{io, sync::mpsc, time::Duration};
    ///
    /// struct Urgent(mpsc::Sender<bool>);
    ///
    /// impl EvHandler for Urgent {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         if cx.is_priority() {
    ///             let mut byte = [std::mem::MaybeUninit::new(0)];
    ///             let fd = cx.fd();
    ///             let count = socket2::SockRef::from(&fd).recv_out_of_band(&mut byte)?;
    ///             let _ = self.0.send(count == 1);
    ///         }
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let (server, _peer) = listener.accept()?;
    /// let (tell, told) = mpsc::channel();
    /// let poller = running.handle().pollers()[0].clone();
    /// poller.register(server.into(), Interest::PRIORITY, || Urgent(tell))?;
    /// socket2::SockRef::from(&client).send_out_of_band(b"!")?;
    /// assert_eq!(told.recv(), Ok(true));
    /// running.handle().shutdown(Duration::ZERO);
    /// running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Interest::PRIORITY`]: crate::Interest::PRIORITY
    /// [`Interest::READABLE`]: crate::Interest::READABLE
    pub fn is_priority(&self) -> bool {
        self.connection.has(Flags::PRIORITY)
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
        socket::set_nodelay(self.present()?, on)
    }

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
        self.local.values.with(T::default, f)
    }

    /// Lends the poller's value of type `T` to `f`, and makes it by `init` if there is none: see
    /// [`with_local_or`](crate::with_local_or).
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
    ///
    /// # Panics
    ///
    /// Panics if it is called inside itself for the same type.
    pub fn with_local_or<T: 'static, R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        self.local.values.with(init, f)
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
