//! One piece of what an outbox holds.
//!
//! There are three kinds, since there are three owners of the bytes: the outbox, several
//! connections together, and the file system.

use bytes::Bytes;

/// One piece of queued output, or one piece of a file.
///
/// It carries values of the user, so it must be dropped while nothing is borrowed.
#[derive(Debug)]
pub(crate) enum Segment<F> {
    /// Bytes that were copied from a borrowed slice. The last segment of an outbox may grow.
    Copied(Vec<u8>),
    /// Bytes that other connections may be sending as well.
    Shared(Bytes),
    /// A piece of a file.
    File {
        /// The file, which stays open until it has been sent.
        file: F,
        /// Where the piece begins in the file.
        offset: u64,
        /// The length of the piece in bytes.
        length: u64,
        /// `true` if the kernel can't send from this file, so that it is read and sent instead.
        by_copy: bool,
    },
}

impl<F> Segment<F> {
    /// Returns the number of its bytes, sent or not.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Segment::Copied(bytes) => bytes.len() as u64,
            Segment::Shared(bytes) => bytes.len() as u64,
            Segment::File { length, .. } => *length,
        }
    }

    /// Returns the bytes in memory; `None` for a piece of a file.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Segment::Copied(bytes) => Some(bytes),
            Segment::Shared(bytes) => Some(bytes),
            Segment::File { .. } => None,
        }
    }
}
