//! The buffers that the TLS connections of a poller share: one for plaintext that is lent, and one
//! for output on its way.
//!
//! Callbacks never nest, so one of each is enough for a thread; whatever is needed beyond that is
//! allocated and freed. An idle connection holds none.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use corepoll::EvContext;

/// The most bytes of plaintext in a record.
pub(crate) const RECORD: usize = 16 * 1024;

/// Encrypted output is sent when there is this much of it: four records a system call.
const SEND_AT: usize = 4 * RECORD;

/// The size of the buffer for encrypted output: the last record may begin right below `SEND_AT`.
const OUTPUT_SIZE: usize = SEND_AT + RECORD + 2048;

// By `try_with` throughout: a poller that is itself in a thread-local may end after these are gone.
thread_local! {
    /// The buffer of plaintext that was lent last.
    static PLAINTEXT: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
    /// The buffers for output.
    static OUTPUT: Cell<Option<Box<Output>>> = const { Cell::new(None) };
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
    /// The bytes.
    bytes: Vec<u8>,
    /// Lent for a callback, and on the poller's thread.
    lent: PhantomData<(&'a (), *const ())>,
}

impl Plaintext<'_> {
    /// Lends an empty buffer.
    #[inline]
    pub(crate) fn lend() -> Plaintext<'static> {
        let spare = PLAINTEXT.try_with(Cell::take);
        let mut bytes = spare.ok().flatten().unwrap_or_default();
        bytes.clear();
        Plaintext { bytes, lent: PhantomData }
    }

    /// Returns the end of the peer's data, which has no bytes.
    #[inline]
    pub(crate) fn end() -> Plaintext<'static> {
        Plaintext { bytes: Vec::new(), lent: PhantomData }
    }

    /// Adds what was decrypted.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

impl Deref for Plaintext<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Plaintext<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
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
        // The end of the data has no buffer, and one record after another needs one.
        if self.bytes.capacity() > 0 {
            let bytes = std::mem::take(&mut self.bytes);
            let _ = PLAINTEXT.try_with(|spare| spare.set(Some(bytes)));
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
    /// The buffer for records.
    records: Vec<u8>,
    /// How much of it is filled.
    filled: usize,
}

impl Output {
    /// Takes the thread's buffers, or makes new ones.
    #[inline]
    pub(crate) fn take() -> Box<Output> {
        OUTPUT.try_with(Cell::take).ok().flatten().unwrap_or_else(|| {
            let records = vec![0; OUTPUT_SIZE];
            Box::new(Output { gathered: Vec::with_capacity(RECORD), records, filled: 0 })
        })
    }

    /// Returns the buffers to the thread. Nothing may be in them.
    #[inline]
    pub(crate) fn give_back(mut self: Box<Self>) {
        self.gathered.clear();
        self.filled = 0;
        // A limit on what one odd flight of a handshake leaves behind.
        if self.records.len() <= 2 * OUTPUT_SIZE {
            let _ = OUTPUT.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// Returns how many bytes wait.
    pub(crate) fn pending(&self) -> usize {
        self.gathered.len() + self.filled
    }

    /// Lends the room behind the records, at least `needed` bytes.
    #[inline]
    pub(crate) fn room(&mut self, needed: usize) -> &mut [u8] {
        if self.records.len() - self.filled < needed {
            self.records.resize(self.filled + needed, 0);
        }
        &mut self.records[self.filled..]
    }

    /// Notes that `count` bytes of the room were filled.
    pub(crate) fn advance(&mut self, count: usize) {
        self.filled += count;
    }

    /// Returns `true` if there is enough for a system call.
    pub(crate) fn is_large(&self) -> bool {
        self.filled >= SEND_AT
    }

    /// Passes the records to the connection, which sends them at once and queues the rest.
    #[inline]
    pub(crate) fn send(&mut self, cx: &mut EvContext<'_>) -> std::io::Result<()> {
        if self.filled == 0 {
            return Ok(());
        }
        let filled = std::mem::take(&mut self.filled);
        cx.write(&self.records[..filled])
    }
}
