//! Whether a connection can be used again, as far as the kernel can tell.
//!
//! Both functions are one system call on a socket that is in no use. They see what has reached this
//! machine. A peer that closes the connection just afterwards is seen by no look, and the next user
//! gets that error (RFC 9112, section 9.3.1).

use std::io;

use crate::net::tcp::stream::TcpStream;
use crate::sys::stream;

/// Returns `true` if nothing has come on a connection: no byte, no end, no error.
///
/// A pooled connection on which something has come unasked is of no use: the next user would take
/// it for the answer to its own question.
pub(crate) fn is_quiet(stream: &TcpStream) -> bool {
    let fd = stream.registered().fd();
    // Only a read tells of all three. Urgent data lies beside the others (tcp(7)), where a read
    // does not see it.
    // One byte is enough, and MSG_PEEK leaves it there. Zero bytes read is the peer's end.
    let seen = stream::peek(fd, &mut [0]);
    matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        && !stream::has_urgent(fd)
}

/// Returns `true` if the write direction is open: where it has been shut down, sending no bytes is
/// an error.
pub(crate) fn is_writable(stream: &TcpStream) -> bool {
    // Nothing is put on the wire. After shutdown(2) the kernel answers EPIPE before it looks at the
    // length.
    stream::send(stream.registered().fd(), &[]).is_ok()
}
