//! A connection comes back from its user: to go on, or to be closed.

use std::io;
use std::rc::Rc;

use crate::net::tcp::stream::TcpStream;
use crate::sys::stream;
use crate::task::drop_ignoring_panic;

use super::shared::{Handoff, Shared};

impl Shared {
    /// A user is done with a connection, which goes to the next one if it is fit for that. It isn't
    /// if it `is_ours` no more: the user has put another one in its place.
    pub(crate) fn recycle(self: &Rc<Self>, stream: TcpStream, is_ours: bool) {
        let registered = stream.registered();
        let is_here = self
            .poller()
            .is_some_and(|poller| !poller.is_gone() && Rc::ptr_eq(&poller, registered.local()));
        let is_fit = is_ours && is_here && !registered.has_missed_deadline();
        if is_fit && is_idle(&stream) && is_writable(&stream) {
            registered.forget_deadlines();
            self.offer(Handoff { stream, is_reused: true });
        } else {
            self.close(stream);
        }
    }

    /// Closes a connection that was in use.
    pub(crate) fn close(self: &Rc<Self>, stream: TcpStream) {
        drop_ignoring_panic(stream);
        self.connection_closed();
    }

    /// A connection that was in use is gone.
    pub(crate) fn connection_closed(self: &Rc<Self>) {
        self.live.set(self.live.get() - 1);
        self.grow();
    }
}

/// Whether nothing has come on a connection: no byte, no end, no error. Only a read says so; and
/// none of those tells of an urgent byte, which lies beside the others.
pub(crate) fn is_idle(stream: &TcpStream) -> bool {
    let fd = stream.registered().fd();
    let seen = stream::peek(fd, &mut [0]);
    matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        && !stream::has_urgent(fd)
}

/// Whether the write direction is open: sending nothing is an error if it isn't.
fn is_writable(stream: &TcpStream) -> bool {
    stream::send(stream.registered().fd(), &[]).is_ok()
}
