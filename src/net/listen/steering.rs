//! How the kernel chooses among the listeners of one address.

use std::io;
use std::os::fd::AsFd;

use crate::base::error::during;
use crate::reactor::ReactorHandle;
use crate::sys::{options, steering};

use super::listening_socket::BoundSocket;

/// How the kernel chooses the listener of a connection, and so its first poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Steering {
    /// By a hash of the addresses and ports.
    #[default]
    Hash,
    /// By the number of the processor that handles the first packet.
    Cpu,
    /// By where the pollers are placed.
    Placement,
}

impl Steering {
    /// Returns `to` if it is switched on. Switched off, it is the hash, unless something else than
    /// `to` is on.
    pub(crate) fn switched(self, to: Steering, on: bool) -> Steering {
        match on {
            true => to,
            false if self == to => Steering::Hash,
            false => self,
        }
    }

    /// Checks that there is something to choose from.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if there is not.
    pub(crate) fn check(self, reuse_port: bool, on: &ReactorHandle) -> io::Result<()> {
        let message = match self {
            Steering::Cpu if !reuse_port => {
                "steer_by_cpu chooses among the listeners that reuse_port(true) makes"
            }
            Steering::Placement if !reuse_port => {
                "steer_by_placement chooses among the listeners that reuse_port(true) makes"
            }
            Steering::Placement if on.processors().contains(&None) => {
                "steer_by_placement needs a reactor with a Placement"
            }
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// Makes the kernel choose among `sockets`, one for each poller of `on`.
    pub(crate) fn apply(self, sockets: &[BoundSocket], on: &ReactorHandle) -> io::Result<()> {
        let [first, _, ..] = sockets else { return Ok(()) };
        match self {
            Steering::Hash => Ok(()),
            // The kernel numbers the sockets in the order in which they began to listen.
            Steering::Cpu => steering::by_cpu(first.fd.as_fd(), sockets.len())
                .map_err(|error| during("SO_ATTACH_REUSEPORT_CBPF", error)),
            Steering::Placement => {
                let mut pairs = sockets.iter().zip(on.processors());
                pairs.try_for_each(|(socket, processor)| match processor {
                    Some(processor) => options::set_incoming_cpu(socket.fd.as_fd(), *processor),
                    None => Ok(()),
                })
            }
        }
    }
}
