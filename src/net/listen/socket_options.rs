//! Those options of an acceptor that its sockets are made with.

use std::time::Duration;

use super::acceptor::Acceptor;
use super::steering::Steering;

impl Acceptor {
    /// Gives every poller a listener of its own (`SO_REUSEPORT` in socket(7)): the kernel brings
    /// each connection to one of them. Otherwise only the first poller listens.
    /// [`Acceptor::balance`] says where a connection goes from there. Default: off.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").reuse_port(true);
    /// # drop(acceptor);
    /// ```
    pub fn reuse_port(mut self, on: bool) -> Acceptor {
        self.listen.reuse_port = on;
        self
    }

    /// Sets the number of connections that may wait to be accepted. The kernel limits it to
    /// `net.core.somaxconn`: see listen(2). Default: 4096.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").backlog(512);
    /// # drop(acceptor);
    /// ```
    pub fn backlog(mut self, n: u32) -> Acceptor {
        self.listen.backlog = n;
        self
    }

    /// Sets the size of the receive buffer in bytes (`SO_RCVBUF`), which accepted connections
    /// inherit. The kernel doubles the value: see socket(7). Default: the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").recv_buffer_size(64 * 1024);
    /// # drop(acceptor);
    /// ```
    pub fn recv_buffer_size(mut self, n: usize) -> Acceptor {
        self.listen.recv_buffer_size = Some(n);
        self
    }

    /// Sets the size of the send buffer in bytes (`SO_SNDBUF`), which accepted connections inherit.
    /// The kernel doubles the value: see socket(7). Default: the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").send_buffer_size(256 * 1024);
    /// # drop(acceptor);
    /// ```
    pub fn send_buffer_size(mut self, n: usize) -> Acceptor {
        self.listen.send_buffer_size = Some(n);
        self
    }

    /// Keeps a listener at `[::]` from accepting IPv4 (`IPV6_V6ONLY` in ipv6(7)). Default: it
    /// accepts both, whatever `net.ipv6.bindv6only` says.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// // Another acceptor may listen at "0.0.0.0:8080".
    /// let acceptor = Acceptor::new("[::]:8080").only_v6(true);
    /// # drop(acceptor);
    /// ```
    pub fn only_v6(mut self, on: bool) -> Acceptor {
        self.listen.only_v6 = on;
        self
    }

    /// Sets `TCP_NODELAY` on the connections: small segments are sent at once. They inherit it from
    /// the listener, so that it costs no system call for each. Default: off. See tcp(7).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").nodelay(true);
    /// # drop(acceptor);
    /// ```
    pub fn nodelay(mut self, on: bool) -> Acceptor {
        self.listen.nodelay = on;
        self
    }

    /// Accepts a connection when its first bytes have come, or after `limit`, which the kernel
    /// rounds up to some seconds (`TCP_DEFER_ACCEPT` in tcp(7)). This saves the wake-up in which
    /// there is nothing to read. It does not suit protocols in which the server speaks first, and
    /// has no effect on Unix sockets. Default: off.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// # use std::time::Duration;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").defer_accept(Duration::from_secs(5));
    /// # drop(acceptor);
    /// ```
    pub fn defer_accept(mut self, limit: Duration) -> Acceptor {
        self.listen.defer_accept = Some(limit);
        self
    }

    /// Accepts a connection with the bytes that came with its SYN (`TCP_FASTOPEN` in tcp(7), RFC
    /// 7413): a client that has been here before, and that asks for it, has its answer one round
    /// trip earlier. At most `queue` such connections may wait for the end of their handshake;
    /// further ones are made in the usual way. Zero turns it off. It has no effect on Unix sockets, nor where bit 2 of
    /// `net.ipv4.tcp_fastopen` is not set, which is the default of Linux. Default: off.
    ///
    /// A SYN may arrive twice, and its bytes with it. So the first request of a connection must be
    /// one that may be repeated: RFC 7413, section 6.3.1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Acceptor;
    /// let acceptor = Acceptor::new("0.0.0.0:8080").fast_open(256);
    /// # drop(acceptor);
    /// ```
    pub fn fast_open(mut self, queue: u32) -> Acceptor {
        self.listen.fast_open = Some(queue);
        self
    }

    /// Makes the kernel choose the poller by processor, and not by a hash: a connection goes to the
    /// poller whose index is the number of the processor that handled its first packet, modulo the
    /// number of pollers (`SO_ATTACH_REUSEPORT_CBPF` in socket(7)). Where the pollers run on the
    /// processors 0, 1, 2, ..., a packet stays on its processor all the way. For other placements
    /// there is [`Acceptor::steer_by_placement`], and the last of the two that is switched on
    /// counts.
    ///
    /// This needs [`Acceptor::reuse_port`]. With [`Balance::Local`] connections stay where they are
    /// accepted; the default moves some of them to pollers that have fewer. Default: off.
    ///
    /// [`Balance::Local`]: crate::Balance::Local
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Acceptor, Balance};
    /// let acceptor = Acceptor::new("0.0.0.0:8080")
    ///     .reuse_port(true)
    ///     .steer_by_cpu(true)
    ///     .balance(Balance::Local);
    /// # drop(acceptor);
    /// ```
    pub fn steer_by_cpu(mut self, on: bool) -> Acceptor {
        self.steering = self.steering.switched(Steering::Cpu, on);
        self
    }

    /// Makes the kernel prefer the poller that is placed on the processor which handles the first
    /// packet of a connection (`SO_INCOMING_CPU` in socket(7), since Linux 6.2). So a packet stays
    /// on its processor all the way, where the queues of the network card are spread over the same
    /// processors. A connection of another processor goes where the hash says.
    ///
    /// This needs [`Acceptor::reuse_port`], and a [`Placement`](crate::Placement) of the reactor.
    /// With [`Balance::Local`](crate::Balance::Local) connections stay where they are accepted; the
    /// default moves some of them to pollers that have fewer. Before Linux 6.2 the kernel does not
    /// prefer any. Default: off.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::{Acceptor, Action, Balance, EvContext, EvHandler, Placement, Reactor};
    /// # fn main() -> std::io::Result<()> {
    /// # struct Drain;
    /// # impl EvHandler for Drain {
    /// #     fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
    /// #         Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    /// #     }
    /// # }
    /// let reactor = Reactor::builder().placement(Placement::OnePerCore).build()?;
    /// let listening = Acceptor::new("127.0.0.1:0")
    ///     .reuse_port(true)
    ///     .steer_by_placement(true)
    ///     .balance(Balance::Local)
    ///     .listen(&reactor.handle(), || Drain)?;
    /// # drop(listening);
    /// # Ok(())
    /// # }
    /// ```
    pub fn steer_by_placement(mut self, on: bool) -> Acceptor {
        self.steering = self.steering.switched(Steering::Placement, on);
        self
    }
}
