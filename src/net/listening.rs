//! An address that is listened at.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use crate::base::interest::Interest;
use crate::base::token::Token;
use crate::poller::connection::bits;
use crate::poller::handle::{PollerHandle, gone};
use crate::poller::local::Local;

use super::accept::{Deliver, Listener};

/// An address that is listened at. Dropping it keeps listening.
///
/// ```
/// use corepoll::{Reactor, net::TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder().pollers(1).build()?;
/// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
/// reactor.run_until(async {
///     let addr = listening.local_addr()?;
///     TcpStream::connect(addr).await?;
///     // No new connections from here on.
///     listening.close();
///     std::io::Result::Ok(())
/// })?
/// # }
/// ```
#[derive(Debug)]
pub struct Listening {
    /// None for a Unix socket.
    address: Option<SocketAddr>,
    /// The listening sockets: where each is, and its token, once it has been registered.
    listeners: Vec<(PollerHandle, Arc<OnceLock<Token>>)>,
}

impl Listening {
    /// Nothing is listened to yet.
    pub(super) fn new(address: Option<SocketAddr>) -> Listening {
        Listening { address, listeners: Vec::new() }
    }

    /// Where it listens.
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # fn main() -> std::io::Result<()> {
    /// let reactor = Reactor::builder().pollers(1).build()?;
    /// let listening = reactor.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// println!("listening on {}", listening.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It listens at a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address.ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no IP address")
        })
    }

    /// Stops listening. Connections that were accepted go on; those that still wait to be accepted
    /// are reset by the kernel. May be called from any thread.
    ///
    /// ```
    /// # use corepoll::Reactor;
    /// # use std::time::Duration;
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let listening = running.handle().serve("127.0.0.1:0", |_stream, _peer| async {})?;
    /// listening.close();
    /// // It can be asked for still.
    /// assert!(listening.local_addr()?.ip().is_loopback());
    /// # running.handle().shutdown(Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        for (poller, token) in &self.listeners {
            let token = token.clone();
            // A poller that has ended listens to nothing.
            let _ = poller.run_on(move || {
                if let (Some(local), Some(token)) = (Local::current(), token.get()) {
                    local.close_token(*token);
                }
            });
        }
    }

    /// Gives a listening socket to a poller.
    pub(super) fn add<D: Deliver + Send>(
        &mut self,
        poller: &PollerHandle,
        fd: OwnedFd,
        listener: Listener<D>,
    ) -> io::Result<()> {
        let token = Arc::new(OnceLock::new());
        self.listeners.push((poller.clone(), token.clone()));
        let register = move || {
            let Some(local) = Local::current() else { return };
            let facts = bits::SOCKET | bits::INTERNAL | bits::LISTENER;
            // A shutdown that was asked for before this leaves nothing to listen for.
            if !local.drain.is_requested()
                && let Ok(added) =
                    local.add_connection(fd, Interest::READABLE, Box::new(listener), facts)
            {
                let _ = token.set(added);
            }
        };
        poller.run_on(register).map_err(|_| gone())
    }
}
