//! What the user of the callback API implements.

use std::io;

use crate::local::action::{Action, CloseReason, TimerId};
use crate::local::context::EvContext;
use crate::task::TypeName;

/// The callbacks of one connection, or of any descriptor that is registered in a poller.
///
/// All of them run on the poller's thread, one at a time, and never inside each other: what a
/// callback asks for (another connection's end, a new registration) acts at once, and the calls
/// that follow from it come later in the turn. A handler may block its poller, and should not.
///
/// An error other than [`io::ErrorKind::WouldBlock`] ends the connection with
/// [`CloseReason::Error`]; a panic ends it with [`CloseReason::Panic`]. Neither touches anything
/// else. `WouldBlock` means [`Action::Keep`], so that `cx.read()?` in a loop ends as it should.
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
    /// The connection has begun: it was accepted, connected or registered.
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

    /// There are bytes to read, or the end of them.
    ///
    /// Level-triggered, it comes again in the next turn for as long as there is something to
    /// read. After the end has been read it doesn't come again; the handler may still write.
    ///
    /// A handler may leave for later what came before its peer's hang-up. Level-triggered, it is
    /// told again after a few milliseconds, and again, until it has read everything; it counts as
    /// one that has given up, and its connection ends, when it reads nothing for
    /// [`Budget::close_linger`](crate::Budget::close_linger).
    ///
    /// It also comes for what is out of band, see
    /// [`Interest::PRIORITY`](crate::Interest::PRIORITY), and for a message in the socket's error
    /// queue: a timestamp, a completed zero-copy send, what IP_RECVERR collects. Then
    /// [`EvContext::is_priority`] is true. A handler may leave a message in the queue; for those
    /// that it leaves there it isn't called again and again.
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

    /// All queued output is in the kernel; or there is room to write, if [`Interest::WRITABLE`]
    /// was asked for.
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

    /// Queued output has passed the high watermark: time to produce less.
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

    /// Queued output, after having been above the high watermark, is down at the low one.
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

    /// A timer of this connection is due.
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

    /// The reactor is asked to shut down. A handler that keeps the connection has until the end
    /// of the grace to close it.
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

    /// The connection could not be made. Nothing else is called for this handler. It may have
    /// another one made: [`Connector`](crate::Connector) has an example of a client that
    /// reconnects.
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
    ///     // It names the address.
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

    /// The connection ends: exactly once for each `on_open`, unless `cx.take_stream()` took the
    /// connection over. The descriptor is still open; nothing can be written any more.
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

    /// What a stall watch calls this handler.
    #[doc(hidden)]
    fn type_name(&self, _: Sealed) -> TypeName {
        std::any::type_name::<Self>
    }
}

/// Nobody else can name it: what asks for one is ours to call and to implement.
#[derive(Debug)]
pub struct Sealed;
