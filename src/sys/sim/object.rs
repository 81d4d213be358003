//! What the simulated kernel has behind descriptors.

use super::backlog::Listener;
use super::connection::Tcp;
use super::counters::{Alarm, Counter};
use super::id::{HostId, Id};
use super::instance::{Instance, Key};
use super::pipe::{PipeReader, PipeWriter};
use super::udp_socket::Udp;
use super::unix_datagram::UnixDatagram;
use super::unix_stream::{UnixListener, UnixStream};

/// What the kernel has behind descriptors: an open file description.
pub(super) struct Object {
    /// The host whose kernel it belongs to.
    pub(super) host: HostId,
    /// How many descriptors there are of it.
    pub(super) descriptors: usize,
    /// The registrations that watch it.
    pub(super) watchers: Vec<(Id, Key)>,
    /// What it is.
    pub(super) kind: Kind,
}

/// The kinds of objects.
pub(super) enum Kind {
    /// An epoll instance.
    Epoll(Instance),
    /// An eventfd.
    Counter(Counter),
    /// A timerfd.
    Alarm(Alarm),
    /// A TCP socket that does not listen.
    Tcp(Box<Tcp>),
    /// A TCP socket that listens.
    Listener(Listener),
    /// The end of a pipe that bytes come out of.
    PipeReader(PipeReader),
    /// The end of a pipe that bytes go into.
    PipeWriter(PipeWriter),
    /// A UDP socket.
    Udp(Box<Udp>),
    /// A connected Unix socket for bytes.
    UnixStream(Box<UnixStream>),
    /// A Unix socket that listens.
    UnixListener(UnixListener),
    /// A Unix socket for datagrams.
    UnixDatagram(Box<UnixDatagram>),
}
