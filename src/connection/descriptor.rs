//! What a callback asks of its descriptor: addresses, options, and out-of-band data.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::local::context::EvContext;
use crate::local::flags::Flags;
use crate::sys::{options, socket};

impl EvContext<'_> {
    /// Borrows the descriptor, for system calls that have no method here.
    ///
    /// From now on other code may hold a duplicate of it (dup(2)), so the connection ends by a
    /// plain close(2). It does not wait for the peer's end for
    /// [`Budget::close_linger`](crate::Budget::close_linger): the kernel answers a peer that is
    /// still sending with a reset, and that may destroy the last bytes that were written (RFC 9112,
    /// 9.6).
    ///
    /// # Panics
    ///
    /// Panics if [`EvContext::take_stream`] has taken the connection over.
    ///
    /// # Examples
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
    pub fn fd(&self) -> BorrowedFd<'_> {
        // From here on it may have been duplicated.
        self.connection.set(Flags::FD_EXPOSED);
        self.descriptor()
    }

    /// Returns the IP address and port of the peer: getpeername(2).
    ///
    /// # Errors
    ///
    /// Returns the errors of getpeername(2), such as `ENOTCONN` once the peer has reset the
    /// connection. Returns an error if it is not an IP socket, or if a stream has taken the
    /// connection over.
    ///
    /// # Examples
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
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        socket::peer_addr(self.present()?)
    }

    /// Returns the IP address and port of this side: getsockname(2).
    ///
    /// # Errors
    ///
    /// Returns an error if it is not an IP socket, or if a stream has taken the connection over.
    ///
    /// # Examples
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
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.present()?)
    }

    /// Returns the number of the processor that handled the last packet of the connection
    /// (`SO_INCOMING_CPU` in socket(7)), or `None` before the first one.
    ///
    /// # Errors
    ///
    /// Returns the errors of getsockopt(2), or an error if a stream has taken the connection over.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl EvHandler for Session {
    /// fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///     cx.read()?;
    ///     let known = cx.incoming_cpu()?.is_some();
    ///     cx.write(if known { b"known" } else { b"unknown" })?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "known");
    /// ```
    pub fn incoming_cpu(&self) -> io::Result<Option<usize>> {
        options::incoming_cpu(self.present()?)
    }

    /// Returns `true` if this callback was called for out-of-band data: TCP's urgent byte, which
    /// recv(2) takes with `MSG_OOB` through [`EvContext::fd`]; a change of a file of procfs or
    /// sysfs; or a message in the socket's error queue, which recvmsg(2) takes with `MSG_ERRQUEUE`.
    ///
    /// Urgent bytes and changes of files are reported to handlers that ask for
    /// [`Interest::PRIORITY`]. Messages in the error queue are reported to handlers that ask for
    /// [`Interest::READABLE`] as well. A message is reported once, and again with each other event
    /// for as long as the handler leaves it in the queue.
    ///
    /// # Examples
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

    /// Sets TCP_NODELAY. With it small segments are sent at once, and do not wait until the peer
    /// has acknowledged earlier ones (tcp(7)).
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2), as for a socket that is not TCP. Returns an error if a
    /// stream has taken the connection over.
    ///
    /// # Examples
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
    pub fn set_nodelay(&mut self, on: bool) -> io::Result<()> {
        options::set_nodelay(self.present()?, on)
    }
}
