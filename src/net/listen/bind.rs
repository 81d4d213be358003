//! How an acceptor comes to listen: all of its sockets, or none.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::base::error::during;
use crate::reactor::ReactorHandle;
use crate::sys::{socket, socket_file, steering};

use crate::net::addr::stream_addr::StreamAddr;
use crate::net::listen::acceptor::Acceptor;
use crate::net::listen::balance::Balancer;
use crate::net::listen::error_reporter::ErrorReporter;
use crate::net::listen::listener_handler::Deliver;
use crate::net::listen::listening::Listening;
use crate::net::listen::listening_socket::BoundSocket;

impl Acceptor {
    /// What is to hear of errors.
    pub(crate) fn error_reporter(&self) -> Arc<ErrorReporter> {
        Arc::new(ErrorReporter::new(&self.address, self.on_error.clone()))
    }

    /// How the connections of a listener of `on` are spread.
    pub(crate) fn balancer(&self, on: &ReactorHandle) -> Balancer {
        Balancer::new(self.target.clone().unwrap_or_else(|| on.clone()), self.balance)
    }

    /// Listens on the pollers that should, each with a `Deliver` that `make` makes.
    ///
    /// Each socket is bound, listens and is in its poller's epoll instance before the first one is
    /// given away: so what goes wrong is the caller's error, and nothing listens by half.
    pub(crate) fn listen_with<D: Deliver + Send>(
        &self,
        on: &ReactorHandle,
        errors: &Arc<ErrorReporter>,
        make: impl Fn() -> D,
    ) -> io::Result<Listening> {
        let endpoint = StreamAddr::parse(&self.address)?;
        if self.steer_by_cpu && !self.listen.reuse_port {
            let message = "steer_by_cpu chooses among the listeners that reuse_port(true) makes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let pollers = match (&endpoint, self.listen.reuse_port) {
            (StreamAddr::Ip(_), true) => on.pollers(),
            _ => &on.pollers()[..1],
        };
        let describe = |error: io::Error| errors.describe("listening on", error);
        let (sockets, bound) = self.bind_all(endpoint, pollers.len()).map_err(describe)?;
        for (socket, poller) in sockets.iter().zip(pollers) {
            poller.watch(socket.fd.as_fd()).map_err(describe)?;
        }
        let address = match bound {
            StreamAddr::Ip(address) => Some(address),
            StreamAddr::Unix(_) => None,
        };
        // All of them now: they may be clones of the user's values, which may panic.
        let delivers = pollers.iter().map(|_| make()).collect();
        Listening::begin(address, sockets, pollers, errors, delivers).map_err(describe)
    }

    /// As many sockets that listen, and where they do.
    fn bind_all(
        &self,
        endpoint: StreamAddr,
        count: usize,
    ) -> io::Result<(Vec<BoundSocket>, StreamAddr)> {
        let (first, endpoint) = self.bind(endpoint)?;
        let mut sockets = vec![first];
        // The others listen at the port that the kernel chose for the first.
        while sockets.len() < count {
            sockets.push(self.bind(endpoint.clone())?.0);
        }
        if self.steer_by_cpu && count > 1 {
            // The sockets are numbered in the order in which they began to listen.
            steering::by_cpu(sockets[0].fd.as_fd(), count)
                .map_err(|error| during("SO_ATTACH_REUSEPORT_CBPF", error))?;
        }
        Ok((sockets, endpoint))
    }

    /// A socket that listens, and where it does.
    fn bind(&self, endpoint: StreamAddr) -> io::Result<(BoundSocket, StreamAddr)> {
        if let Some(path) = endpoint.path() {
            let listened = socket_file::listen(path, &endpoint.to_sock_addr()?, &self.listen);
            let (fd, file) = listened?;
            return Ok((BoundSocket { file: Some(file), fd }, endpoint));
        }
        let mut endpoint = endpoint;
        let mut listened = socket::listen(&endpoint.to_sock_addr()?, &self.listen);
        if let (StreamAddr::Ip(address), Err(error)) = (&endpoint, &listened)
            && self.address.starts_with(':')
            && is_without_ipv6(error)
        {
            endpoint = StreamAddr::Ip((Ipv4Addr::UNSPECIFIED, address.port()).into());
            listened = socket::listen(&endpoint.to_sock_addr()?, &self.listen);
        }
        let fd = listened?;
        if let StreamAddr::Ip(address) = &mut endpoint {
            *address = socket::local_addr(fd.as_fd())?;
        }
        Ok((BoundSocket { file: None, fd }, endpoint))
    }
}

/// Whether the host has no IPv6. Any other error is one of the address: another family would only
/// hide it.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}
