//! What a callback receives and sends on a socket for datagrams, each with the address of its peer.
//!
//! [`EvContext::read`] and [`EvContext::write`] work there too, without addresses: one datagram a
//! call, to and from the peer that the socket is connected to. What is sent here is never queued,
//! as a datagram that waits is often worth nothing any more: the handler decides.

use std::borrow::Borrow;
use std::io;
use std::net::SocketAddr;

use crate::base::message::Message;
use crate::local::calls;
use crate::local::context::EvContext;
use crate::local::context::MIN_READ_COST;
use crate::local::flags::{Flags, State};
use crate::parts::recv_batch::RecvBatch;
use crate::sys::{datagram, send_batch};

impl EvContext<'_> {
    /// Receives the messages that have come, as many as `batch` has room for, and returns their
    /// number: recvmmsg(2). The messages of the last receive are gone.
    ///
    /// Each message counts for the budget of the event as a read of its length does, and when it is
    /// spent the next ones are received in the next turn.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing has come, or if the budget of
    /// this event, [`Budget::read_per_event`](crate::Budget::read_per_event), is spent. Returns
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is no socket for datagrams.
    ///
    /// Other errors belong to a datagram that was sent before, such as
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) on a connected socket. The connection
    /// goes on, unless the handler passes them on.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::udp::RecvBatch;
    /// use corepoll::{Action, EvContext, EvHandler, Interest, Reactor};
    /// use std::io;
    ///
    /// /// Sends everything back.
    /// struct Echo(RecvBatch);
    ///
    /// impl EvHandler for Echo {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         // Up to 32 datagrams a call. It is called again for the rest.
    ///         cx.recv_batch(&mut self.0)?;
    ///         // What the kernel has no room for is lost, as it may be on the way.
    ///         cx.send_batch(&self.0)?;
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let addr = socket.local_addr()?;
    /// let poller = running.handle().pollers()[0].clone();
    /// poller.register(socket.into(), Interest::READABLE, || Echo(RecvBatch::new(32, 1500)))?;
    ///
    /// let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to(b"hello", addr)?;
    /// let mut answer = [0; 16];
    /// assert_eq!(client.recv_from(&mut answer)?, (5, addr));
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_batch(&mut self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.clear();
        self.check_datagrams()?;
        if self.readable() <= 0 {
            return Err(self.budget_spent());
        }
        // An empty datagram is not free either.
        let most = self.readable().unsigned_abs().div_ceil(MIN_READ_COST);
        let received = batch.slots().receive(self.present()?, most)?;
        let cost = received.bytes.max(received.count * MIN_READ_COST);
        self.charge(cost);
        Ok(received.count)
    }

    /// Receives one datagram into `buf`, and returns its length and the address of its sender:
    /// recvfrom(2). What `buf` has no room for is lost.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::recv_batch`], and
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the sender has no address of IP.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler, Interest, Reactor};
    /// use std::io;
    ///
    /// struct Greeter;
    ///
    /// impl EvHandler for Greeter {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let (_count, peer) = cx.recv_from(&mut [0; 1500])?;
    ///         cx.send_to(format!("hello {peer}").as_bytes(), peer)?;
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let addr = socket.local_addr()?;
    /// running.handle().pollers()[0].register(socket.into(), Interest::READABLE, || Greeter)?;
    ///
    /// let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// client.send_to(b"is it you?", addr)?;
    /// let mut answer = [0; 100];
    /// let count = client.recv(&mut answer)?;
    /// assert_eq!(&answer[..count], format!("hello {}", client.local_addr()?).as_bytes());
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_from(&mut self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.check_datagrams()?;
        if self.readable() <= 0 {
            return Err(self.budget_spent());
        }
        let (count, from) = datagram::recv_from(self.present()?, buf)?;
        self.charge(count.max(MIN_READ_COST));
        Ok((count, from))
    }

    /// Sends the first of `messages` at once, as many as the kernel takes, and returns their
    /// number: sendmmsg(2), at most 64. Nothing is queued.
    ///
    /// A handler that wants to send the rest sets [`Interest::WRITABLE`](crate::Interest::WRITABLE),
    /// and does so in [`on_write`](crate::EvHandler::on_write).
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room for the first, or if
    /// output of [`EvContext::write`] is queued before it; then none is sent. Otherwise returns the
    /// error of the first message, as [`UdpSocket::send_batch`](crate::net::UdpSocket::send_batch)
    /// does. The connection goes on, unless the handler passes the error on.
    ///
    /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if it is no socket for datagrams, and
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the connection is ending already.
    ///
    /// # Examples
    ///
    /// See [`EvContext::recv_batch`].
    ///
    /// ```
    /// # use corepoll::EvContext;
    /// use corepoll::net::udp::Message;
    /// use std::io;
    ///
    /// /// Tells `text` to a peer, in datagrams of 1,200 bytes which the kernel splits.
    /// fn tell(cx: &mut EvContext<'_>, text: &[u8], peer: std::net::SocketAddr) -> io::Result<usize> {
    ///     cx.send_batch([Message::new(text, peer).with_segment_size(1200)])
    /// }
    /// # let _ = tell;
    /// ```
    pub fn send_batch<'a, I>(&mut self, messages: I) -> io::Result<usize>
    where
        I: IntoIterator<Item: Borrow<Message<'a>>>,
    {
        self.check_may_send()?;
        send_batch::send(self.present()?, messages.into_iter(), usize::MAX).map(|(count, _)| count)
    }

    /// Sends one datagram to `target` at once: sendto(2). Nothing is queued.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::send_batch`].
    ///
    /// # Examples
    ///
    /// See [`EvContext::recv_from`].
    ///
    /// ```
    /// # use corepoll::EvContext;
    /// use std::io::{self, ErrorKind};
    ///
    /// /// Sends unless there is no room.
    /// fn tell(cx: &mut EvContext<'_>, peer: std::net::SocketAddr) -> io::Result<bool> {
    ///     match cx.send_to(b"hello", peer) {
    ///         Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
    ///         sent => sent.map(|_| true),
    ///     }
    /// }
    /// # let _ = tell;
    /// ```
    pub fn send_to(&mut self, bytes: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.check_may_send()?;
        datagram::send_to(self.present()?, bytes, &target)
    }

    /// Sets UDP_GRO: whether the kernel may join datagrams of one peer to one message. See
    /// [`UdpSocket::set_gro`](crate::net::UdpSocket::set_gro).
    ///
    /// Once it is on, only [`EvContext::recv_batch`] is of use.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2), such as that of a kernel before Linux 5.0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::RecvBatch;
    /// # use corepoll::{Action, EvContext, EvHandler};
    /// # use std::io;
    /// struct Listener(RecvBatch);
    ///
    /// impl EvHandler for Listener {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.set_gro(true)?;
    ///         Ok(Action::Keep)
    ///     }
    ///
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.recv_batch(&mut self.0)?;
    ///         let count: usize = self.0.iter().map(|message| message.datagrams().len()).sum();
    ///         println!("{count} datagrams");
    ///         Ok(Action::Keep)
    ///     }
    /// }
    /// ```
    pub fn set_gro(&mut self, on: bool) -> io::Result<()> {
        send_batch::set_gro(self.present()?, on)
    }

    /// Returns an error if the descriptor is no socket for datagrams.
    #[inline]
    fn check_datagrams(&self) -> io::Result<()> {
        if self.connection.has(Flags::DATAGRAMS) { Ok(()) } else { Err(no_datagrams()) }
    }

    /// Returns an error if a datagram may not be sent now.
    fn check_may_send(&mut self) -> io::Result<()> {
        self.check_datagrams()?;
        calls::note_written(self.local, self.connection);
        if self.may_write_now() {
            return Ok(());
        }
        Err(match self.connection.state() {
            State::Open => io::ErrorKind::WouldBlock.into(),
            _ => self.not_open_error(),
        })
    }
}

/// Returns the error of a call that only a socket for datagrams knows.
#[cold]
fn no_datagrams() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is not a socket for datagrams")
}
