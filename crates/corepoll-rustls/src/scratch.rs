//! The buffers that the TLS connections of a poller share: one for plaintext that is lent, and one
//! for output on its way.
//!
//! Callbacks never nest, so one of each is enough for a thread; whatever is needed beyond that is
//! allocated and freed. An idle connection holds none.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use corepoll::EvContext;

/// The most bytes of plaintext in a record.
pub(crate) const RECORD: usize = 16 * 1024;

/// Encrypted output is sent when there is this much of it: four records a system call.
const SEND_AT: usize = 4 * RECORD;

/// The size of the buffer for encrypted output: the last record may begin right below `SEND_AT`.
const OUTPUT_SIZE: usize = SEND_AT + RECORD + 2048;

/// A buffer for the plaintext of a record.
type Buffer = [u8; RECORD];

/// Makes a buffer for the plaintext of a record.
#[cold]
fn new_buffer() -> Box<Buffer> {
    // By way of a vector: a boxed array would be made on the stack.
    vec![0; RECORD].try_into().expect("a vector of this length")
}

/// The buffers of a thread. Its connections share it, as they outlive the thread's own reference
/// where a poller is itself in a thread-local.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The buffer of plaintext that was lent last.
    plaintext: Cell<Option<Box<Buffer>>>,
    /// The buffers for output.
    output: Cell<Option<Box<Output>>>,
}

thread_local! {
    static SCRATCH: Rc<Scratch> = Rc::default();
}

impl Scratch {
    /// Returns the buffers of this thread.
    pub(crate) fn of_thread() -> Rc<Scratch> {
        SCRATCH.try_with(Rc::clone).unwrap_or_default()
    }

    /// Lends a buffer for plaintext.
    #[inline(always)]
    pub(crate) fn lend(&self) -> Plaintext<'static> {
        let buffer = self.plaintext.take().unwrap_or_else(new_buffer);
        Plaintext { buffer: Some(buffer), length: 0, lent: PhantomData }
    }

    /// Takes the buffers for output, or makes new ones.
    #[inline(always)]
    pub(crate) fn take_output(&self) -> Box<Output> {
        self.output.take().unwrap_or_else(Output::new)
    }

    /// Takes the buffers for output back. What is in them is lost.
    #[inline(always)]
    pub(crate) fn keep_output(&self, mut output: Box<Output>) {
        output.gathered.clear();
        output.records.filled = 0;
        // A limit on what one odd flight of a handshake leaves behind.
        if output.records.buffer.len() <= 2 * OUTPUT_SIZE {
            self.output.set(Some(output));
        }
    }
}

/// Bytes that were decrypted, in a buffer that is lent.
///
/// It dereferences to `[u8]`, and is empty at the end of the peer's data. Dropping it returns the
/// buffer. Its bytes may be changed.
///
/// # Examples
///
/// ```
/// use corepoll::Action;
/// use corepoll_rustls::{TlsContext, TlsHandler};
/// use std::io;
///
/// struct Shout;
///
/// impl TlsHandler for Shout {
///     fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
///         let mut data = cx.read()?;
///         if data.is_empty() {
///             return Ok(Action::Close);
///         }
///         data.make_ascii_uppercase();
///         cx.write(&data)?;
///         Ok(Action::Keep)
///     }
/// }
/// ```
pub struct Plaintext<'a> {
    /// The buffer; `None` at the end of the data.
    buffer: Option<Box<Buffer>>,
    /// How many of its bytes are plaintext.
    length: usize,
    /// Lent for a callback, and on the poller's thread.
    lent: PhantomData<(&'a (), *const ())>,
}

impl Plaintext<'_> {
    /// Returns the end of the peer's data, which has no bytes.
    #[inline]
    pub(crate) fn end() -> Plaintext<'static> {
        Plaintext { buffer: None, length: 0, lent: PhantomData }
    }

    /// Fills the buffer with what was decrypted. Returns `false` if that is no plaintext of a record.
    #[inline(always)]
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> bool {
        let Some(buffer) = &mut self.buffer else { return false };
        let Some(room) = buffer.get_mut(..bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.length = bytes.len();
        true
    }
}

impl Deref for Plaintext<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[..self.length],
            None => &[],
        }
    }
}

impl DerefMut for Plaintext<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer[..self.length],
            None => &mut [],
        }
    }
}

impl AsRef<[u8]> for Plaintext<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Plaintext<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let _ = SCRATCH.try_with(|scratch| scratch.plaintext.set(Some(buffer)));
        }
    }
}

impl fmt::Debug for Plaintext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plaintext").field("length", &self.len()).finish_non_exhaustive()
    }
}

/// The output of one callback: plaintext that waits to become a record, and records.
pub(crate) struct Output {
    /// Plaintext of small writes, which becomes one record; at most `RECORD` bytes.
    pub(crate) gathered: Vec<u8>,
    /// The records.
    pub(crate) records: Records,
}

/// Encrypted records, one behind the other.
pub(crate) struct Records {
    /// The buffer; all of it is initialized.
    buffer: Vec<u8>,
    /// How much of it is filled.
    filled: usize,
}

impl Output {
    /// Makes buffers.
    #[cold]
    fn new() -> Box<Output> {
        let records = Records { buffer: vec![0; OUTPUT_SIZE], filled: 0 };
        Box::new(Output { gathered: Vec::with_capacity(RECORD), records })
    }

    /// Returns how many bytes wait.
    pub(crate) fn pending(&self) -> usize {
        self.gathered.len() + self.records.filled
    }
}

impl Records {
    /// Lends the room behind the records.
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// Lends the room behind the records, at least `needed` bytes.
    pub(crate) fn room_for(&mut self, needed: usize) -> &mut [u8] {
        if self.buffer.len() - self.filled < needed {
            self.buffer.resize(self.filled + needed, 0);
        }
        self.room()
    }

    /// Notes that `count` bytes of the room were filled.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.filled += count;
    }

    /// Returns `true` if there is enough for a system call.
    pub(crate) fn is_large(&self) -> bool {
        self.filled >= SEND_AT
    }

    /// Passes the records to the connection, which sends them at once and queues the rest.
    #[inline(always)]
    pub(crate) fn send(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<()> {
        if self.filled == 0 {
            return Ok(());
        }
        let filled = std::mem::take(&mut self.filled);
        cx.write(&self.buffer[..filled])
    }
}
