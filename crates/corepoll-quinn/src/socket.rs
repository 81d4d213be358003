//! The UDP socket of an endpoint: received from on its poller, sent to from any thread.
//!
//! quinn's types are `Send`, so a program may refuse a connection, or drive one, on another thread
//! than that of the endpoint. sendmsg(2) works on each of them, and so does [`QuicSocket`].
//! Only the registration stays on the poller: a task there holds it ([`WriteReadiness::watch`]), and
//! drops it when the socket is dropped or the poller ends. So the descriptor is closed in any case.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use corepoll::net::AsyncFd;
use corepoll::{Interest, PollerBound, spawn_local};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::datagrams::{Datagrams, Registration};
use crate::write_readiness::{WriteReadiness, Writer};

/// The socket of an endpoint.
#[derive(Debug)]
pub(crate) struct QuicSocket {
    /// The socket itself, for sends from any thread.
    datagrams: Arc<Datagrams>,
    /// The registration, for receiving on its poller. It is gone once the poller has ended.
    registration: PollerBound<Weak<Registration>>,
    /// The connections that wait until they may send.
    writers: Arc<WriteReadiness>,
    /// The address that it is bound to.
    local_addr: SocketAddr,
    /// Whether the socket may report errors of the network: those of a connected one.
    is_connected: bool,
}

impl QuicSocket {
    /// Registers `socket` with the poller of this thread.
    ///
    /// # Errors
    ///
    /// Returns an error if this thread has no poller, and the errors of setsockopt(2) and
    /// epoll_ctl(2).
    pub(crate) fn new(socket: UdpSocket) -> io::Result<QuicSocket> {
        let (local_addr, is_connected) = (socket.local_addr()?, socket.peer_addr().is_ok());
        let datagrams = Arc::new(Datagrams::new(socket)?);
        let registration = Rc::new(AsyncFd::new(datagrams.clone())?);
        let bound = PollerBound::new(Rc::downgrade(&registration));
        let writers = Arc::new(WriteReadiness::default());
        drop(spawn_local(writers.clone().watch(registration)));
        Ok(QuicSocket { datagrams, registration: bound, writers, local_addr, is_connected })
    }

    /// Returns the registration.
    ///
    /// # Errors
    ///
    /// Returns an error outside of its poller, and once that has ended.
    fn registration(&self) -> io::Result<Rc<Registration>> {
        if !self.registration.is_home() {
            let message = "corepoll-quinn: an endpoint was driven outside of its poller";
            return Err(io::Error::other(message));
        }
        let ended = || io::Error::new(ErrorKind::NotConnected, "the poller has ended");
        self.registration.upgrade().ok_or_else(ended)
    }
}

#[cfg(test)]
impl QuicSocket {
    /// Returns who waits to send.
    pub(crate) fn writers(&self) -> &Arc<WriteReadiness> {
        &self.writers
    }
}

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writer::new(self.writers.clone()))
    }

    /// Sends at once, whether the socket is known to be writable or not. Errors other than
    /// `WouldBlock` are those of the path, which QUIC recovers from as from a loss.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Datagrams { socket, state } = &*self.datagrams;
        let sent = state.send(socket.into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.writers.block();
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let registration = self.registration()?;
        loop {
            // This counts as an operation of the task, so the loop gives way to other tasks.
            ready!(registration.poll_readable(cx))?;
            let received = registration.try_io(Interest::READABLE, |datagrams| {
                datagrams.state.recv((&datagrams.socket).into(), buffers, metas)
            });
            match received {
                Ok(count) => {
                    // recvmmsg(2) stops early where nothing more is queued, so there is no need to
                    // ask again before the next event. On a connected socket it may also have stopped
                    // at an error, with datagrams behind it.
                    if count < buffers.len() && !self.is_connected {
                        registration.clear_ready(Interest::READABLE);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if is_of_network(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }

    fn max_transmit_segments(&self) -> usize {
        self.datagrams.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.datagrams.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.datagrams.state.may_fragment()
    }
}

impl Drop for QuicSocket {
    fn drop(&mut self) {
        self.writers.close();
    }
}

/// Returns `true` if the error tells of an earlier datagram, by an ICMP message for instance. The
/// kernel reports each one once (`sk_err`), and an attacker can cause them. Any other error is of the
/// socket itself and would come again, so it ends the endpoint.
fn is_of_network(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EPROTO
                | libc::EOPNOTSUPP
                | libc::EMSGSIZE
                | libc::EACCES
                | libc::EPERM
        )
    )
}
