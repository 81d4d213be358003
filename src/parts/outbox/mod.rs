//! Output that a connection has accepted and the kernel has not taken yet.

mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;

use bytes::Bytes;

use crate::task::drop_ignoring_panic;

pub(crate) use segment::Segment;

/// Slices handed to one `sendmsg` as a rule.
pub(crate) const SLICES: usize = 64;

/// The most slices that one `sendmsg` takes: UIO_MAXIOV. Small pieces that come after as many are
/// copied together, so that their bookkeeping doesn't outweigh their bytes.
pub(crate) const MOST_SLICES: usize = 1024;

/// Segments up to this size are copied together: fewer slices, fewer allocations.
const COALESCE: usize = 16 * 1024;

/// Shared pieces of at least this size are worth a segment of their own, however many there are.
const WORTH_SHARING: usize = 1024;

/// An empty queue keeps room for so many segments.
const MOST_ROOM: usize = 2 * MOST_SLICES;

/// Bytes and stretches of files, in the order in which they were written. A file is an `F`.
#[derive(Debug)]
pub(crate) struct Outbox<F = File> {
    segments: VecDeque<Segment<F>>,
    /// Bytes of the first segment that are in the kernel already.
    sent: u64,
    /// Bytes in all segments that are not.
    pending: u64,
    /// As many of these as are in memory.
    in_memory: usize,
    /// How many segments are stretches of files.
    files: usize,
}

/// What is to be sent next.
#[derive(Debug)]
pub(crate) enum Next<'a, F> {
    /// Nothing.
    Nothing,
    /// As many slices have been set.
    Slices(usize),
    /// A stretch of a file, and whether it is to be read and sent.
    File { file: &'a F, offset: u64, length: u64, by_copy: bool },
}

impl<F> Default for Outbox<F> {
    fn default() -> Outbox<F> {
        Outbox { segments: VecDeque::new(), sent: 0, pending: 0, in_memory: 0, files: 0 }
    }
}

impl<F> Outbox<F> {
    /// Whether nothing waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Bytes that wait, those of files too.
    pub(crate) fn pending(&self) -> usize {
        usize::try_from(self.pending).unwrap_or(usize::MAX)
    }

    /// Bytes that wait in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// Stretches of files that wait.
    pub(crate) fn files(&self) -> usize {
        self.files
    }

    /// Copies `bytes` to the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.count_in_memory(bytes.len());
        match self.segments.back_mut() {
            Some(Segment::Copied(last)) if last.len() + bytes.len() <= COALESCE => {
                last.extend_from_slice(bytes);
            }
            _ => self.segments.push_back(Segment::Copied(bytes.to_vec())),
        }
    }

    /// Puts `bytes` at the end without copying them, unless they are a small piece among many:
    /// then they come back, to be dropped where that is allowed.
    #[inline]
    #[must_use = "dropping shared bytes runs foreign code: not inside another borrow"]
    pub(crate) fn push_shared(&mut self, bytes: Bytes) -> Option<Bytes> {
        if self.segments.len() >= MOST_SLICES && bytes.len() < WORTH_SHARING {
            self.push(&bytes);
            return Some(bytes);
        }
        self.push_apart(bytes);
        None
    }

    /// Puts `bytes` at the end, to be sent apart from all others: a datagram.
    #[inline]
    pub(crate) fn push_apart(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.count_in_memory(bytes.len());
            self.segments.push_back(Segment::Shared(bytes));
        }
    }

    /// Puts `length` bytes of `file`, at least one, at the end.
    pub(crate) fn push_file(&mut self, file: F, offset: u64, length: u64) {
        debug_assert!(length > 0, "an empty segment would never be sent");
        self.pending = self.pending.saturating_add(length);
        self.files += 1;
        self.segments.push_back(Segment::File { file, offset, length, by_copy: false });
    }

    /// Counts `more` bytes that are kept in memory.
    fn count_in_memory(&mut self, more: usize) {
        // Saturating: a caller may have named stretches of files of any length.
        self.pending = self.pending.saturating_add(more as u64);
        self.in_memory += more;
    }

    /// Moves everything out of `other`, of which nothing has been sent, to the end.
    pub(crate) fn append(&mut self, other: &mut Outbox<F>) {
        debug_assert!(other.sent == 0, "its first bytes are in the kernel already");
        if self.segments.is_empty() {
            // No copy; and the room of both goes on being used.
            return std::mem::swap(self, other);
        }
        self.segments.append(&mut other.segments);
        self.pending = self.pending.saturating_add(std::mem::take(&mut other.pending));
        self.in_memory += std::mem::take(&mut other.in_memory);
        self.files += std::mem::take(&mut other.files);
    }

    /// Takes the only segment out, if it is a shared one.
    #[inline]
    pub(crate) fn take_only_shared(&mut self) -> Option<Bytes> {
        if self.segments.len() != 1 || self.sent != 0 {
            return None;
        }
        match self.segments.pop_front() {
            Some(Segment::Shared(bytes)) => {
                (self.pending, self.in_memory) = (0, 0);
                Some(bytes)
            }
            other => {
                self.segments.extend(other);
                None
            }
        }
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// What is to be sent next: the slices up to the next file, as many as there is room for in
    /// `slices`, or a file.
    pub(crate) fn next<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> Next<'a, F> {
        if let Some(Segment::File { file, offset, length, by_copy }) = self.segments.front() {
            let (offset, length) = (offset + self.sent, length - self.sent);
            return Next::File { file, offset, length, by_copy: *by_copy };
        }
        let mut count = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            let Some(bytes) = segment.bytes() else { break };
            let skip = if count == 0 { self.sent as usize } else { 0 };
            *slice = IoSlice::new(&bytes[skip..]);
            count += 1;
        }
        if count == 0 { Next::Nothing } else { Next::Slices(count) }
    }

    /// The kernel has taken the first `count` bytes. What has been sent whole is then to be taken
    /// out by [`Outbox::pop_sent`], before anything else.
    pub(crate) fn advance(&mut self, count: usize) {
        if !matches!(self.segments.front(), Some(Segment::File { .. })) {
            self.in_memory -= count;
        }
        self.pending -= count as u64;
        self.sent += count as u64;
    }

    /// Gives up what is left of the first segment, as if it had been sent: so many bytes. None if it
    /// is a file, of which more than one piece is made.
    pub(crate) fn lose_first(&mut self) -> Option<usize> {
        let count = self.segments.front()?.bytes()?.len() - self.sent as usize;
        self.advance(count);
        Some(count)
    }

    /// Takes out a segment that has been sent whole; None when there are no more.
    #[must_use = "dropping a segment runs foreign code: not inside another borrow"]
    pub(crate) fn pop_sent(&mut self) -> Option<Segment<F>> {
        let length = self.segments.front()?.length();
        if self.sent < length {
            return None;
        }
        self.sent -= length;
        self.pop()
    }

    /// Drops all segments, one by one: a destructor that panics keeps no other from running.
    ///
    /// It runs foreign code: nothing may be borrowed meanwhile.
    pub(crate) fn discard(mut self) {
        while let Some(segment) = self.pop() {
            drop_ignoring_panic(segment);
        }
    }

    fn pop(&mut self) -> Option<Segment<F>> {
        let segment = self.segments.pop_front();
        if let Some(Segment::File { .. }) = segment {
            self.files -= 1;
        }
        if self.segments.is_empty() && self.segments.capacity() > MOST_ROOM {
            self.segments = VecDeque::new();
        }
        segment
    }

    /// The kernel can't send from the file that is first: from now on it is read and sent.
    pub(crate) fn copy_first_file(&mut self) {
        if let Some(Segment::File { by_copy, .. }) = self.segments.front_mut() {
            *by_copy = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IoSlice, MOST_ROOM, MOST_SLICES, Next, Outbox, SLICES, Segment};
    use bytes::Bytes;
    use proptest::prelude::*;

    /// A file is the bytes of it.
    type TestBox = Outbox<Vec<u8>>;

    /// The bytes of the next thing to be sent.
    fn head(outbox: &TestBox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        match outbox.next(&mut slices) {
            Next::Nothing => Vec::new(),
            Next::Slices(count) => {
                slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
            }
            Next::File { file, offset, length, .. } => {
                file[offset as usize..][..length as usize].to_vec()
            }
        }
    }

    fn send(outbox: &mut TestBox, count: usize) {
        outbox.advance(count);
        while outbox.pop_sent().is_some() {}
    }

    #[test]
    fn stretches_of_any_length_leave_no_output_behind() {
        let mut outbox = TestBox::default();
        for _ in 0..3 {
            outbox.push_file(Vec::new(), 0, i64::MAX as u64);
        }
        outbox.push(b"behind them");
        assert!(outbox.push_shared(Bytes::from_static(b"all")).is_none());
        let mut other = TestBox::default();
        other.push(b"and more");
        outbox.append(&mut other);
        assert_eq!((outbox.is_empty(), outbox.pending()), (false, usize::MAX));
        assert_eq!(outbox.in_memory(), 22);
    }

    proptest! {
        /// Held against one vector of bytes.
        #[test]
        fn bytes_come_out_once_and_in_order(
            steps in prop::collection::vec((0u8..7, 0usize..40_000), 1..60),
        ) {
            let (mut outbox, mut arriving) = (TestBox::default(), TestBox::default());
            let (mut model, mut later, mut next) = (Vec::new(), Vec::new(), 0u8);
            for (kind, length) in steps {
                let mut bytes = || -> Vec<u8> {
                    (0..length).map(|_| { next = next.wrapping_add(1); next }).collect()
                };
                match kind {
                    0 => { let b = bytes(); outbox.push(&b); model.extend(b) }
                    1 => { let b = bytes(); model.extend(&b); drop(outbox.push_shared(b.into())) }
                    2 if length > 0 => {
                        let b = bytes();
                        model.extend(&b);
                        let file = [&b"before"[..], &b, b"after"].concat();
                        outbox.push_file(file, 6, length as u64);
                    }
                    3 => { let b = bytes(); later.extend(&b); drop(arriving.push_shared(b.into())) }
                    4 => { outbox.append(&mut arriving); model.append(&mut later) }
                    5 => {
                        if let Some(bytes) = arriving.take_only_shared() {
                            prop_assert_eq!(&bytes[..], &later[..]);
                            prop_assert!(arriving.is_empty() && arriving.in_memory() == 0);
                            later.clear();
                        }
                    }
                    _ => {
                        let head = head(&outbox);
                        prop_assert_eq!(&head[..], &model[..head.len()]);
                        prop_assert_eq!(head.is_empty(), model.is_empty());
                        let sent = length.min(head.len());
                        send(&mut outbox, sent);
                        model.drain(..sent);
                    }
                }
                prop_assert_eq!(outbox.pending(), model.len());
                prop_assert!(outbox.in_memory() <= outbox.pending());
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
                let is_file = |segment: &&Segment<_>| matches!(segment, Segment::File { .. });
                prop_assert_eq!(outbox.files(), outbox.segments.iter().filter(is_file).count());
            }
        }
    }

    #[test]
    fn a_file_is_not_counted_as_memory() {
        let mut outbox = TestBox::default();
        outbox.push(b"head");
        outbox.push_file(vec![7; 100], 0, 100);
        outbox.push(b"tail");
        assert_eq!((outbox.pending(), outbox.in_memory()), (108, 8));
        send(&mut outbox, 4);
        send(&mut outbox, 60);
        assert_eq!((outbox.pending(), outbox.in_memory()), (44, 4));
        send(&mut outbox, 40);
        assert_eq!((outbox.pending(), outbox.in_memory()), (4, 4));
        assert_eq!(head(&outbox), b"tail");
    }

    #[test]
    fn small_pieces_past_one_sendmsg_are_copied_together() {
        let mut outbox = TestBox::default();
        let mut model = Vec::new();
        for number in 0..1_000_000u32 {
            let piece = Bytes::copy_from_slice(&number.to_le_bytes());
            model.extend_from_slice(&piece);
            drop(outbox.push_shared(piece));
        }
        assert!(outbox.segments() < MOST_SLICES + 4_000_000 / 8192);
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            let head = head(&outbox);
            send(&mut outbox, head.len());
            sent.extend(head);
        }
        assert!(sent == model);
    }

    #[test]
    fn an_empty_queue_keeps_no_more_room_than_a_burst_needs() {
        let mut outbox = TestBox::default();
        for _ in 0..4 * MOST_ROOM {
            drop(outbox.push_shared(Bytes::from_static(&[0; 2048])));
        }
        while outbox.pop().is_some() {}
        assert!(outbox.segments.capacity() <= MOST_ROOM);
    }
}
