//! `EvHandler`: the trait that users of the callback API implement.
//!
//! It has one required method and defaults for the others, which do what a handler without an
//! opinion would do: keep the connection, and close it at a shutdown.

use std::io;

use crate::local::action::{Action, CloseReason, TimerId};
use crate::local::context::EvContext;
use crate::task::TypeName;

/// The callbacks of one connection, or of any other descriptor that is registered with a poller.
///
/// A connection has a handler of its own, so its fields are the connection's state. All callbacks
/// run on the poller's thread, one at a time, and never inside each other. What a callback asks
/// for, such as the end of another connection, acts at once; callbacks that follow from it come
/// later in the turn. A callback that blocks holds up all connections of its poller.
///
/// [`on_open`](EvHandler::on_open) comes first, and [`on_close`](EvHandler::on_close) last, both
/// exactly once. If the connection can't be made,
/// [`on_connect_fail`](EvHandler::on_connect_fail) is the only call. Only [`on_read`](EvHandler::on_read) has to be written.
///
/// # Errors and panics
/// An error that a callback returns ends the connection with [`CloseReason::Error`], and a panic
/// ends it with [`CloseReason::Panic`]. Other connections go on. The error
/// [`WouldBlock`](io::ErrorKind::WouldBlock) is an exception: it means [`Action::Keep`], so that a
/// loop over `cx.read()?` ends when there is nothing more to read.
///
/// # Examples
///
/// ```
/// use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor};
/// use std::io::{self, Read, Write};
///
/// struct Echo;
///
/// impl EvHandler for Echo {
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
///         let data = cx.read()?;
///         if data.is_empty() {
///             return Ok(Action::Close);
///         }
///         cx.write(&data)?;
///         Ok(Action::Keep)
///     }
/// }
///
/// # fn main() -> io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// let listening = Acceptor::new("127.0.0.1:0").listen(&reactor.handle(), || Echo)?;
/// let running = reactor.start()?;
///
/// let mut client = std::net::TcpStream::connect(listening.local_addr()?)?;
/// client.write_all(b"hello")?;
/// let mut answer = [0; 5];
/// client.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"hello");
///
/// running.handle().shutdown(std::time::Duration::ZERO);
/// running.join()?;
/// # Ok(())
/// # }
/// ```
pub trait EvHandler: 'static {
    /// Called first, when the connection has been accepted, made or registered.
    ///
    /// By default it keeps the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"220 ready\r\n")?;
    ///     # return Ok(Action::Close);
    ///     Ok(Action::Keep)
    /// }
    /// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     cx.read().map(|_| Action::Keep)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, ""), "220 ready\r\n");
    /// ```
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when there are bytes to read, or the end of the input.
    ///
    /// With a level-triggered interest, the default, it is called again in the next turn for as
    /// long as there is something to read. After the end has been read it is not called again for
    /// that; the handler may still write.
    ///
    /// A handler may leave bytes unread that came before its peer hung up. With a level-triggered
    /// interest it is then called again after pauses of some milliseconds, until it has read
    /// everything. If it reads nothing for [`Budget::close_linger`](crate::Budget::close_linger),
    /// its connection ends.
    ///
    /// It is also called for out-of-band data (see
    /// [`Interest::PRIORITY`](crate::Interest::PRIORITY)), and for a message in the socket's error
    /// queue: a timestamp, a completed zero-copy send, or what IP_RECVERR of ip(7) collects.
    /// [`EvContext::is_priority`] returns `true` then. A handler may leave a message in the queue;
    /// it is not called in every turn for that.
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
    ///     cx.write(&data)?;
    /// # return Ok(Action::Close);
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action>;

    /// Called when all queued output is in the kernel. With [`Interest::WRITABLE`] it is called
    /// whenever there is room to write.
    ///
    /// Output that the kernel takes at once was never queued, and is not followed by this call. By
    /// default it keeps the connection.
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
    ///     // More than the kernel takes at once.
    ///     cx.write(&vec![b'x'; 7 << 20])?;
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     assert_eq!(cx.pending_output(), 0);
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello").len(), 7 << 20);
    /// ```
    ///
    /// [`Interest::WRITABLE`]: crate::Interest::WRITABLE
    fn on_write(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when queued output has passed the high watermark: the peer reads more slowly than
    /// this side writes, and it is time to produce less. See [`EvContext::set_watermarks`].
    ///
    /// By default it keeps the connection, and output is queued up to
    /// [`Budget::output_per_connection`](crate::Budget::output_per_connection).
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     cx.read()?;
    /// #     cx.set_watermarks(1024, 4096);
    /// #     cx.write(&vec![b'x'; 7 << 20])?;
    /// #     Ok(Action::Keep)
    /// # }
    /// fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     // The peer is slow: no more questions of it for now.
    ///     cx.set_interest(Interest::NONE)?;
    ///     Ok(Action::Keep)
    /// }
    /// # fn on_write(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     Ok(Action::Close)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, "hello").len(), 7 << 20);
    /// ```
    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when queued output has gone down to the low watermark, after it had passed the high
    /// one.
    ///
    /// By default it keeps the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     cx.read()?;
    /// #     cx.set_watermarks(1024, 4096);
    /// #     cx.write(&vec![b'x'; 7 << 20])?;
    /// #     Ok(Action::Keep)
    /// # }
    /// fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     // The peer has caught up.
    ///     cx.set_interest(Interest::READABLE)?;
    ///     # return Ok(Action::Close);
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello").len(), 7 << 20);
    /// ```
    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when a timer of this connection is due. `timer` is what [`EvContext::set_timer`] or
    /// [`EvContext::set_interval`] has returned.
    ///
    /// By default it keeps the connection.
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
    ///     cx.set_timer(Duration::from_millis(1));
    ///     Ok(Action::Keep)
    /// }
    ///
    /// fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
    ///     cx.write(b"a slow answer")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "a slow answer");
    /// ```
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        let _ = (cx, timer);
        Ok(Action::Keep)
    }

    /// Called after [`Notifier::notify`](crate::Notifier::notify), once for all calls of it before.
    /// By default it keeps the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// # fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     cx.notifier().notify()?;
    /// #     cx.read().map(|_| Action::Keep)
    /// # }
    /// fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"looked")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "looked");
    /// ```
    fn on_notify(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Keep)
    }

    /// Called when the shutdown of the reactor has been requested.
    ///
    /// By default it closes the connection. A handler that keeps it has until the end of the grace
    /// to finish its work and close it; after that it ends with [`CloseReason::Shutdown`]. See
    /// [`ReactorHandle::shutdown`](crate::ReactorHandle::shutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Action, EvContext, EvHandler, Interest, Reactor};
    /// # use std::{io::{self, Read}, os::unix::net::UnixStream, time::Duration};
    /// # fn main() -> std::io::Result<()> {
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// # fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     Ok(Action::Close)
    /// # }
    /// fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.write(b"bye")?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// # let (server, mut client) = UnixStream::pair()?;
    /// # running.handle().pollers()[0].register(server.into(), Interest::READABLE, || Session)?;
    /// # running.handle().shutdown(Duration::from_secs(10));
    /// # let mut heard = String::new();
    /// # client.read_to_string(&mut heard)?;
    /// # assert_eq!(heard, "bye");
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    fn on_shutdown(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = cx;
        Ok(Action::Close)
    }

    /// Called when the connection could not be made. No other callback of this handler is called.
    ///
    /// `error` names the address. There is no context: a handler that has to tell another connection
    /// keeps a `Writer` or a `Notifier` of it, as in the example of [`EvContext::connect`]. For a
    /// client that connects again, see [`Connector`](crate::Connector).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Action, Connector, EvContext, EvHandler, Reactor};
    /// # use std::{io, sync::mpsc, time::Duration};
    /// # fn main() -> std::io::Result<()> {
    /// # struct Session(mpsc::Sender<String>);
    /// # impl EvHandler for Session {
    /// # fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     Ok(Action::Close)
    /// # }
    /// fn on_connect_fail(&mut self, error: io::Error) {
    ///     let _ = self.0.send(error.to_string());
    /// }
    /// # }
    /// # let running = Reactor::builder().pollers(1).build()?.start()?;
    /// # let addr = format!("unix:@corepoll-doc-fail-{}", std::process::id());
    /// # let (sender, receiver) = mpsc::channel();
    /// # Connector::new(&running.handle()).connect(&addr, || Session(sender))?;
    /// # assert!(receiver.recv().unwrap().contains(&addr));
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = error;
    }

    /// Called last, when the connection ends, exactly once for each `on_open`. Only a connection
    /// that [`EvContext::take_stream`] has taken over ends without it.
    ///
    /// The descriptor is still open, so addresses can be asked for. Nothing can be written any
    /// more, and timers are gone.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session(std::sync::mpsc::Sender<bool>);
    /// # impl EvHandler for Session {
    /// # fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #     Ok(Action::Close)
    /// # }
    /// fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
    ///     let is_ours = matches!(reason, CloseReason::Requested);
    ///     println!("{:?} has ended: {reason:?}", cx.token());
    ///     # self.0.send(is_ours).unwrap();
    /// }
    /// # }
    /// # let (sender, receiver) = std::sync::mpsc::channel();
    /// # ask(Session(sender), "hello");
    /// # assert!(receiver.recv().unwrap());
    /// ```
    fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
        let _ = (cx, reason);
    }

    /// Returns the name by which a stall watch reports this handler. It is not a part of the API.
    #[doc(hidden)]
    fn type_name(&self, _: Sealed) -> TypeName {
        std::any::type_name::<Self>
    }
}

/// An argument of methods that only the crate may call and override. Its path is private, so code
/// outside of the crate can't name it.
#[derive(Debug)]
pub struct Sealed;
