//! The read buffers of a poller: one for all connections, and a few spare ones.
//!
//! The buffer of a read belongs to the poller and not to the connection: ten thousand connections
//! that wait need none, and the next read finds the buffer of the last one in the cache.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

/// The largest number of spare buffers. More than one buffer is in use only while chunks are held
/// across reads.
const MOST_SPARE: usize = 16;

/// The read buffers of a poller, all of one size.
pub(crate) struct Buffers {
    /// The size of a buffer in bytes.
    size: usize,
    /// The buffer that nearly every read gets. It stays in the processor's cache.
    first: Cell<Option<Box<[u8]>>>,
    /// Other buffers that have come back.
    spare: RefCell<Vec<Box<[u8]>>>,
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
    /// The buffer; empty once it has been returned.
    buffer: Box<[u8]>,
    /// The number of bytes that were read.
    length: usize,
    /// The poller's buffers, which this one is returned to.
    home: &'a Buffers,
}

impl Buffers {
    /// Creates buffers of `size` bytes, at least one.
    pub(crate) fn new(size: usize) -> Buffers {
        Buffers { size: size.max(1), first: Cell::new(None), spare: RefCell::default() }
    }

    /// Lends a buffer that `fill` has filled. `fill` returns how many bytes it has written.
    #[inline]
    pub(crate) fn lend(
        &self,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Chunk<'_>> {
        let mut buffer = self.take().unwrap_or_else(|| self.another());
        match fill(&mut buffer) {
            Ok(length) => Ok(self.chunk(buffer, length)),
            Err(error) => {
                self.take_back(buffer);
                Err(error)
            }
        }
    }

    /// Takes the buffer that nearly every read gets, if it is not lent.
    #[inline]
    pub(crate) fn take(&self) -> Option<Box<[u8]>> {
        self.first.take()
    }

    /// Makes a chunk of the first `length` bytes of `buffer`, which came from here.
    #[inline]
    pub(crate) fn chunk(&self, buffer: Box<[u8]>, length: usize) -> Chunk<'_> {
        Chunk { buffer, length, home: self }
    }

    /// Returns the size of a buffer in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Takes a buffer back.
    #[inline]
    pub(crate) fn take_back(&self, buffer: Box<[u8]>) {
        // The one that was used last goes first, for it is in the cache.
        if let Some(displaced) = self.first.replace(Some(buffer)) {
            self.keep(displaced);
        }
    }

    /// Returns a spare buffer, or a new one.
    #[cold]
    pub(crate) fn another(&self) -> Box<[u8]> {
        let spare = self.spare.borrow_mut().pop();
        // Zeros, so that a reader never sees what a process had in this memory before.
        spare.unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    /// Keeps a spare buffer, unless there are enough.
    #[cold]
    fn keep(&self, buffer: Box<[u8]>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(buffer);
        }
    }
}

impl Deref for Chunk<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl DerefMut for Chunk<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
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
        // An empty box allocates nothing: it only fills the place.
        self.home.take_back(std::mem::take(&mut self.buffer));
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
