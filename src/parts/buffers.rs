//! The read buffers of a poller: one for all connections, and a few to spare.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;

/// Buffers kept for later. More than one is lent only while chunks are held across reads.
const MOST_SPARE: usize = 16;

/// Lends read buffers of one size.
pub(crate) struct Buffers {
    /// The size of each, in bytes.
    size: usize,
    /// The buffer that nearly every read gets.
    first: Cell<Option<Box<[u8]>>>,
    /// Others that have come back.
    spare: RefCell<Vec<Box<[u8]>>>,
}

/// Bytes that were read, in a buffer that the poller lends.
///
/// It derefs to `[u8]`, and is empty at the end of the stream. The buffer goes back when the chunk
/// is dropped; while it is held, the next read gets another buffer.
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
    /// The buffer; empty once it has gone back.
    buffer: Box<[u8]>,
    /// How many of its bytes were read.
    length: usize,
    home: &'a Buffers,
}

impl Buffers {
    /// Buffers of `size` bytes each, at least one.
    pub(crate) fn new(size: usize) -> Buffers {
        Buffers { size: size.max(1), first: Cell::new(None), spare: RefCell::default() }
    }

    /// Lends a buffer, as an empty chunk.
    #[inline]
    pub(crate) fn lend(&self) -> Chunk<'_> {
        let buffer = self.first.take().unwrap_or_else(|| self.another());
        Chunk { buffer, length: 0, home: self }
    }

    #[cold]
    fn another(&self) -> Box<[u8]> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    #[cold]
    fn keep(&self, buffer: Box<[u8]>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(buffer);
        }
    }
}

impl Chunk<'_> {
    /// The whole buffer, to be read into.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Makes the first `length` bytes of the buffer the chunk's.
    #[inline]
    pub(crate) fn fill(&mut self, length: usize) {
        self.length = length;
    }
}

impl Deref for Chunk<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl AsRef<[u8]> for Chunk<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Chunk<'_> {
    #[inline]
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if let Some(displaced) = self.home.first.replace(Some(buffer)) {
            self.home.keep(displaced);
        }
    }
}

impl fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Buffers;

    #[test]
    fn a_buffer_that_is_held_is_not_lent_again() {
        let buffers = Buffers::new(8);
        let mut first = buffers.lend();
        first.space()[0] = 1;
        first.fill(1);
        let mut second = buffers.lend();
        second.space()[0] = 2;
        second.fill(1);
        assert_eq!((&*first, &*second), (&[1u8][..], &[2u8][..]));
    }

    #[test]
    fn one_buffer_serves_all_reads_that_follow_each_other() {
        let buffers = Buffers::new(8);
        let address = buffers.lend().space().as_ptr();
        assert!((0..100).all(|_| buffers.lend().space().as_ptr() == address));
    }
}
