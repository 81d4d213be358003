//! Reading into hyper's buffer, which is not initialized.
//!
//! This is the crate's only unsafe code. hyper's cursor can't be filled in place otherwise, and
//! filling it with zeros first costs more than all of the rest of a small request.
#![allow(unsafe_code)]

use std::io;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;

use super::poller_stream::sealed::Bytes;

/// Polls `stream` for bytes, and reads them to where the cursor points.
#[inline]
pub(super) fn poll_fill(
    stream: &impl Bytes,
    cx: &mut Context<'_>,
    mut cursor: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: `poll_read_uninit` writes bytes that it has received, and nothing uninitialized: the
    // contract of the sealed trait.
    let room = unsafe { cursor.as_mut() };
    let count = ready!(stream.poll_read_uninit(cx, room))?;
    debug_assert!(count <= cursor.remaining());
    // SAFETY: that many bytes at the cursor are initialized now, by the same contract.
    unsafe { cursor.advance(count) };
    Poll::Ready(Ok(()))
}
