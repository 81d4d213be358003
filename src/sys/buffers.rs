//! The read buffers of a poller: one for all connections, and a few spare ones.
//!
//! The buffer of a read belongs to the poller and not to the connection: ten thousand connections
//! that wait need none, and the next read finds the buffer of the last one in the cache.
//!
//! There is unsafe code here because all buffers have one size, which is known here: a buffer and a
//! chunk are a pointer each, without a length of their own. With boxed slices, lending one for a
//! read and taking it back took ten instructions more, a tenth of a small request.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use super::stream::{self, Moved};
use super::syscall::Answer;

/// The largest number of spare buffers. More than one buffer is in use only while chunks are held
/// across reads.
const MOST_SPARE: usize = 16;

/// A buffer of a poller. It does not know its size, so that dropping it would leak it.
///
/// The invariant **Buffer**: it is the address of a boxed slice of [`Buffers::size`] bytes, all of
/// them initialized, which it owns alone.
struct Buffer(NonNull<u8>);

/// The read buffers of a poller, all of one size.
///
/// The invariant **First**: while `available` is 1, `first` is the address of a buffer that is not
/// lent.
pub(crate) struct Buffers {
    /// The size of a buffer in bytes. It never changes: **Buffer**.
    size: usize,
    /// The buffer that nearly every read gets, which stays in the processor's cache: its address, or
    /// null if there is none yet.
    first: Cell<*mut u8>,
    /// 1 if the first buffer is here, and 0 while it is lent.
    available: Cell<usize>,
    /// Other buffers that have come back.
    spare: RefCell<Vec<Buffer>>,
}

/// Bytes that were read, in a buffer that the poller lends.
///
/// It dereferences to `[u8]`, and is empty at the end of the stream. Dropping the chunk returns the
/// buffer. While the chunk is held, the next read gets another buffer.
///
/// The buffer belongs to the chunk alone for as long as it is lent. So its bytes may be changed, to
/// decrypt or to unmask them where they are.
///
/// # Examples
///
/// ```
/// use corepoll::{Action, EvContext, EvHandler};
///
/// struct Echo;
///
/// impl EvHandler for Echo {
///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<Action> {
///         let chunk = cx.read()?;
///         if chunk.is_empty() {
///             return Ok(Action::Close);
///         }
///         cx.write(&chunk)?;
///         Ok(Action::Keep)
///     }
/// }
/// ```
pub struct Chunk<'a> {
    /// The buffer: **Buffer**. It goes back to `home` when the chunk is dropped.
    buffer: NonNull<u8>,
    /// The number of bytes that were read, at most as many as the buffer has.
    length: usize,
    /// The poller's buffers, which this one is one of.
    home: &'a Buffers,
}

/// A chunk without its home, in two words.
struct Filled {
    /// The buffer, as in a [`Chunk`].
    buffer: NonNull<u8>,
    /// The number of bytes, as in a [`Chunk`].
    length: usize,
}

impl Buffers {
    /// Creates buffers of `size` bytes, at least one.
    pub(crate) fn new(size: usize) -> Buffers {
        let (size, first) = (size.max(1), Cell::new(ptr::null_mut()));
        Buffers { size, first, available: Cell::new(0), spare: RefCell::default() }
    }

    /// Returns the size of a buffer in bytes.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Receives into a buffer, and lends it: recv(2), uncounted. Where that brings no bytes it
    /// returns the kernel's answer: zero at the end of the stream, or an error.
    // Inlined always: a chunk that stays in registers saves a tenth of a whole request.
    #[inline(always)]
    pub(crate) fn receive(&self, fd: impl AsRawFd) -> Result<Chunk<'_>, Answer> {
        let buffer = NonNull::slice_from_raw_parts(self.lent().0, self.size);
        // SAFETY: **Buffer**: it is writable for `size` bytes.
        let Moved { answer, bytes: buffer } = unsafe { stream::recv_at(fd, buffer) };
        match answer.positive() {
            // The kernel returns no more than it was asked for.
            Some(length) => Ok(Chunk { buffer: buffer.cast(), length, home: self }),
            None => {
                self.return_buffer(Buffer(buffer.cast()));
                Err(answer)
            }
        }
    }

    /// Lends a buffer that `fill` has filled. `fill` returns how many bytes it has written.
    #[inline(always)]
    pub(crate) fn lend(
        &self,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Chunk<'_>> {
        // Two words come back in registers, where a chunk of three would take space on the stack, in
        // which the caller would then have each chunk that it gets another way as well.
        let Filled { buffer, length } = self.fill(fill)?;
        Ok(Chunk { buffer, length, home: self })
    }

    /// Does the work of [`Buffers::lend`], up to the chunk.
    #[cold]
    #[inline(never)]
    fn fill(&self, fill: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Filled> {
        // A chunk from the start, so that the buffer comes back whatever `fill` does.
        let mut chunk = Chunk { buffer: self.lent().0, length: self.size, home: self };
        let length = fill(&mut chunk)?.min(self.size);
        let Chunk { buffer, .. } = *ManuallyDrop::new(chunk);
        Ok(Filled { buffer, length })
    }

    /// Returns a chunk without bytes: the end of a stream.
    pub(crate) fn empty(&self) -> Chunk<'_> {
        Chunk { buffer: self.lent().0, length: 0, home: self }
    }

    /// Takes a buffer out, for longer than a chunk lives. Its content is arbitrary.
    pub(crate) fn take(&self) -> Box<[u8]> {
        let buffer = self.lent();
        if self.is_first(&buffer) {
            self.first.set(ptr::null_mut());
        }
        self.boxed(buffer)
    }

    /// Takes a buffer back, or drops it if it is not one of these.
    pub(crate) fn take_back(&self, buffer: Box<[u8]>) {
        if buffer.len() == self.size {
            self.return_buffer(Buffers::unboxed(buffer));
        }
    }

    /// Takes the buffer that nearly every read gets, or another one if it is lent.
    #[inline(always)]
    fn lent(&self) -> Buffer {
        let (left, is_lent) = self.available.get().overflowing_sub(1);
        self.available.set(left);
        if is_lent {
            return self.another();
        }
        // SAFETY: **First**.
        Buffer(unsafe { NonNull::new_unchecked(self.first.get()) })
    }

    /// Returns `true` if `buffer` is the one that nearly every read gets.
    #[inline(always)]
    fn is_first(&self, buffer: &Buffer) -> bool {
        self.first.get() == buffer.0.as_ptr()
    }

    /// Takes a buffer back from a chunk.
    #[inline(always)]
    fn return_buffer(&self, buffer: Buffer) {
        if self.is_first(&buffer) {
            self.available.set(1);
        } else {
            self.keep(buffer);
        }
    }

    /// Returns a spare buffer, or a new one. The first of all stays the first.
    #[cold]
    #[inline(never)]
    fn another(&self) -> Buffer {
        self.available.set(0);
        let spare = self.spare.borrow_mut().pop();
        // Zeros, so that a reader never sees what a process had in this memory before.
        let buffer =
            spare.unwrap_or_else(|| Buffers::unboxed(vec![0; self.size].into_boxed_slice()));
        if self.first.get().is_null() {
            self.first.set(buffer.0.as_ptr());
        }
        buffer
    }

    /// Keeps a spare buffer, unless there are enough.
    #[cold]
    #[inline(never)]
    fn keep(&self, buffer: Buffer) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(buffer);
        } else {
            drop(self.boxed(buffer));
        }
    }

    /// Turns a buffer into the slice that it is.
    fn boxed(&self, buffer: Buffer) -> Box<[u8]> {
        let slice = NonNull::slice_from_raw_parts(buffer.0, self.size);
        // SAFETY: **Buffer**.
        unsafe { Box::from_raw(slice.as_ptr()) }
    }

    /// Turns a slice, whose length is the size of these buffers, into a buffer.
    fn unboxed(slice: Box<[u8]>) -> Buffer {
        Buffer(NonNull::from(Box::leak(slice)).cast())
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // No chunk is left: each has borrowed this.
        let first = NonNull::new(self.first.get()).map(Buffer);
        for buffer in self.spare.take().into_iter().chain(first) {
            drop(self.boxed(buffer));
        }
    }
}

impl Deref for Chunk<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: **Buffer**, and `length` is at most its size.
        unsafe { NonNull::slice_from_raw_parts(self.buffer, self.length).as_ref() }
    }
}

impl DerefMut for Chunk<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: **Buffer**, and `length` is at most its size.
        unsafe { NonNull::slice_from_raw_parts(self.buffer, self.length).as_mut() }
    }
}

impl AsRef<[u8]> for Chunk<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Chunk<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Drop for Chunk<'_> {
    #[inline]
    fn drop(&mut self) {
        self.home.return_buffer(Buffer(self.buffer));
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, Chunk};

    fn lend(buffers: &Buffers, byte: u8) -> Chunk<'_> {
        let filled = buffers.lend(|space| {
            space[0] = byte;
            Ok(1)
        });
        filled.unwrap()
    }

    #[test]
    fn a_buffer_that_is_held_is_not_lent_again() {
        let buffers = Buffers::new(8);
        let first = lend(&buffers, 1);
        let second = lend(&buffers, 2);
        assert_eq!((&*first, &*second), (&[1u8][..], &[2u8][..]));
    }

    #[test]
    fn one_buffer_serves_all_reads_that_follow_each_other() {
        let buffers = Buffers::new(8);
        let address = lend(&buffers, 0).as_ptr();
        assert!((0..100).all(|_| lend(&buffers, 0).as_ptr() == address));
        assert!(buffers.lend(|_| Err(std::io::ErrorKind::WouldBlock.into())).is_err());
        assert_eq!(lend(&buffers, 0).as_ptr(), address, "an error gives the buffer back");
    }
}
