//! The streams of corepoll: what they can do that the traits of futures-io have no method for.
//!
//! An adapter for every stream of futures-io can't have a second implementation for some of them:
//! Rust has no specialization. So [`known`] compares types. For a given `S` the answer is a
//! constant, and the compiler removes the branches that are not taken.
//!
//! This is the one file with unsafe code.

use std::any::Any;
use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use corepoll::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream, UnixStream, unix};
use corepoll::{PollerBound, Pooled};
use tokio::io::ReadBuf;

/// A direction of a socket that receives into memory that need not be initialized.
trait PollReadUninit {
    /// Polls for bytes. Returns the number of bytes at the beginning of `buf` that are initialized.
    fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>>;
}

/// Passes the method of that name through.
macro_rules! poll_read_uninit {
    ($($type:ty),+) => {$(
        impl PollReadUninit for $type {
            #[inline]
            fn poll_read_uninit(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [MaybeUninit<u8>],
            ) -> Poll<io::Result<usize>> {
                <$type>::poll_read_uninit(self, cx, buf)
            }
        }
    )+};
}

poll_read_uninit!(TcpStream, UnixStream, OwnedReadHalf, unix::OwnedReadHalf);

/// Returns the stream as a `T`, if it is one, or is one that is bound to its poller.
#[inline]
fn known<T: 'static>(stream: &dyn Any) -> Option<&T> {
    match stream.downcast_ref::<PollerBound<T>>() {
        Some(bound) => Some(bound),
        None => stream.downcast_ref(),
    }
}

/// Returns the stream as one that reads into memory that need not be initialized.
#[inline]
fn reader(stream: &dyn Any) -> Option<&dyn PollReadUninit> {
    if let Some(stream) = known::<TcpStream>(stream) {
        return Some(stream);
    }
    if let Some(half) = known::<OwnedReadHalf>(stream) {
        return Some(half);
    }
    if let Some(stream) = known::<UnixStream>(stream) {
        return Some(stream);
    }
    if let Some(half) = known::<unix::OwnedReadHalf>(stream) {
        return Some(half);
    }
    let pooled: &TcpStream = known::<Pooled>(stream)?;
    Some(pooled)
}

/// Polls a stream of corepoll for bytes, without filling `buf` with zeros. Returns `None` if
/// `stream` is of another crate.
#[inline]
pub(crate) fn poll_read(
    stream: &dyn Any,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Option<Poll<io::Result<()>>> {
    let stream = reader(stream)?;
    Some(poll_into(stream, cx, buf))
}

/// Polls for bytes, and says in `buf` how many have come.
#[inline]
#[expect(unsafe_code, reason = "what is not initialized can't be named in safe code")]
fn poll_into(
    stream: &dyn PollReadUninit,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: `poll_read_uninit` only writes bytes that the kernel has received, so nothing that is
    // initialized becomes uninitialized.
    let unfilled = unsafe { buf.unfilled_mut() };
    let count = ready!(stream.poll_read_uninit(cx, unfilled))?;
    // SAFETY: the types that implement the trait are corepoll's, and their `poll_read_uninit` has
    // initialized the first `count` bytes of what it was given.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Poll::Ready(Ok(()))
}

/// Returns `true` if the stream is a `T`, or a `T` that is bound to its poller. It doesn't ask for the
/// value, so it may be called on any thread.
#[inline]
fn is<T: 'static>(stream: &dyn Any) -> bool {
    stream.is::<T>() || stream.is::<PollerBound<T>>()
}

/// Returns `true` if `stream` writes several buffers by one system call.
#[inline]
pub(crate) fn is_write_vectored(stream: &dyn Any) -> bool {
    is::<TcpStream>(stream)
        || is::<OwnedWriteHalf>(stream)
        || is::<UnixStream>(stream)
        || is::<unix::OwnedWriteHalf>(stream)
        || is::<Pooled>(stream)
}
