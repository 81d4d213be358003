//! The one system call of this crate that has no safe form: poll(2).

use std::os::fd::{AsFd, AsRawFd};

/// Returns `true` if the kernel says that a send through `socket` would find room now.
///
/// Epoll's edge-triggered events only tell of changes, and a change may be older than the send that
/// found no room, if that was made on another thread.
#[allow(unsafe_code)]
pub(crate) fn has_room(socket: impl AsFd) -> bool {
    let fd = socket.as_fd();
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `entry` is one valid pollfd, and its descriptor is borrowed across the call.
    let count = unsafe { libc::poll(&mut entry, 1, 0) };
    // If poll fails, the next send tells more.
    count != 0
}
