//! Output that a connection has accepted and the kernel has not taken yet.
//!
//! It sends nothing: it says what comes next ([`Outbox::next`]) and is told what the kernel has
//! taken ([`Outbox::advance`]). Values of the user lie in it, `Bytes` and files, whose drop is
//! foreign code. So they are handed out, and the caller drops them when it holds no borrow.
//!
//! Copied bytes are joined into segments of up to 16 KiB, so that a handler that writes line by
//! line does not make a slice of each line. Shared bytes stay as they are: they may be queued for a
//! thousand connections, and a copy for each is what sharing saves.

mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;

use bytes::Bytes;

use crate::task::drop_ignoring_panic;

pub(crate) use segment::Segment;

/// The number of slices that one `sendmsg` gets as a rule.
pub(crate) const SLICES: usize = 64;

/// The most slices that one `sendmsg` takes: UIO_MAXIOV. Small pieces behind that many are copied
/// together, so that their bookkeeping does not outweigh their bytes.
pub(crate) const MOST_SLICES: usize = 1024;

/// The size up to which copied bytes are added to the last segment: fewer slices and fewer
/// allocations.
const COALESCE: usize = 16 * 1024;

/// The size from which shared bytes get a segment of their own, however many there are.
const WORTH_SHARING: usize = 1024;

/// The number of segments that an empty queue keeps room for.
const MOST_ROOM: usize = 2 * MOST_SLICES;

/// A queue of bytes and pieces of files, in the order in which they were written. `F` is the type
/// of a file.
#[derive(Debug)]
pub(crate) struct Outbox<F = File> {
    /// What is to be sent, the first first.
    segments: VecDeque<Segment<F>>,
    /// The number of bytes of the first segment that the kernel has taken.
    sent: u64,
    /// The number of bytes in all segments that the kernel has not taken.
    pending: u64,
    /// How many of these are in memory.
    in_memory: usize,
    /// The number of segments that are pieces of files.
    files: usize,
}

/// What is to be sent next.
#[derive(Debug)]
pub(crate) enum Next<'a, F> {
    /// The outbox is empty.
    Nothing,
    /// This number of slices has been set.
    Slices(usize),
    /// A piece of a file. With `by_copy` it is to be read and sent.
    File { file: &'a F, offset: u64, length: u64, by_copy: bool },
}

impl<F> Default for Outbox<F> {
    fn default() -> Outbox<F> {
        Outbox { segments: VecDeque::new(), sent: 0, pending: 0, in_memory: 0, files: 0 }
    }
}

impl<F> Outbox<F> {
    /// Returns `true` if nothing is queued.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Returns the number of queued bytes, with those of files.
    pub(crate) fn pending(&self) -> usize {
        usize::try_from(self.pending).unwrap_or(usize::MAX)
    }

    /// Returns the number of queued bytes in memory.
    pub(crate) fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// Returns the number of queued pieces of files.
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
            // Also while the front of that segment is being sent: only its end changes.
            Some(Segment::Copied(last)) if last.len() + bytes.len() <= COALESCE => {
                last.extend_from_slice(bytes);
            }
            _ => self.segments.push_back(Segment::Copied(bytes.to_vec())),
        }
    }

    /// Adds `bytes` to the end without a copy. A small piece behind many others is copied all the
    /// same and comes back, to be dropped where foreign code may run.
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

    /// Adds `bytes` to the end as a segment of their own: a datagram.
    #[inline]
    pub(crate) fn push_apart(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.count_in_memory(bytes.len());
            self.segments.push_back(Segment::Shared(bytes));
        }
    }

    /// Adds `length` bytes of `file`, at least one, to the end.
    pub(crate) fn push_file(&mut self, file: F, offset: u64, length: u64) {
        debug_assert!(length > 0, "an empty segment would never be sent");
        self.pending = self.pending.saturating_add(length);
        self.files += 1;
        self.segments.push_back(Segment::File { file, offset, length, by_copy: false });
    }

    /// Counts `more` bytes that are kept in memory.
    fn count_in_memory(&mut self, more: usize) {
        // Saturating: a caller may have named pieces of files of any length.
        self.pending = self.pending.saturating_add(more as u64);
        self.in_memory += more;
    }

    /// Moves everything out of `other`, of which nothing has been sent, to the end.
    pub(crate) fn append(&mut self, other: &mut Outbox<F>) {
        debug_assert!(other.sent == 0, "its first bytes are in the kernel already");
        if self.segments.is_empty() {
            // No copy, and both go on with the room that they have.
            return std::mem::swap(self, other);
        }
        self.segments.append(&mut other.segments);
        self.pending = self.pending.saturating_add(std::mem::take(&mut other.pending));
        self.in_memory += std::mem::take(&mut other.in_memory);
        self.files += std::mem::take(&mut other.files);
    }

    /// Takes the only segment out, if it is a shared one of which nothing has been sent.
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

    /// Returns the number of segments.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Returns what is to be sent next: the bytes up to the next file, as many slices of them as
    /// `slices` has room for, or a piece of a file.
    pub(crate) fn next<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> Next<'a, F> {
        if let Some(Segment::File { file, offset, length, by_copy }) = self.segments.front() {
            let (offset, length) = (offset + self.sent, length - self.sent);
            return Next::File { file, offset, length, by_copy: *by_copy };
        }
        let mut count = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            let Some(bytes) = segment.bytes() else { break };
            // Only the first segment may be sent in part.
            let skip = if count == 0 { self.sent as usize } else { 0 };
            *slice = IoSlice::new(&bytes[skip..]);
            count += 1;
        }
        // A file behind the slices waits for its turn: one call sends one of the two kinds.
        if count == 0 { Next::Nothing } else { Next::Slices(count) }
    }

    /// Notes that the kernel has taken the first `count` bytes. The caller must then take out what
    /// has been sent by [`Outbox::pop_sent`], before any other call.
    pub(crate) fn advance(&mut self, count: usize) {
        if !matches!(self.segments.front(), Some(Segment::File { .. })) {
            self.in_memory -= count;
        }
        // Not saturating, unlike the sums: what the kernel has taken was queued.
        self.pending -= count as u64;
        self.sent += count as u64;
    }

    /// Gives up the rest of the first segment as if it had been sent, and returns its length.
    /// Returns `None` if the segment is a file, as more than one message is made of it.
    pub(crate) fn lose_first(&mut self) -> Option<usize> {
        let count = self.segments.front()?.bytes()?.len() - self.sent as usize;
        self.advance(count);
        Some(count)
    }

    /// Takes out the first segment if it has been sent whole.
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

    /// Takes out the first segment, sent or not.
    fn pop(&mut self) -> Option<Segment<F>> {
        let segment = self.segments.pop_front();
        if let Some(Segment::File { .. }) = segment {
            self.files -= 1;
        }
        // The room of one burst is not kept for the life of the connection.
        if self.segments.is_empty() && self.segments.capacity() > MOST_ROOM {
            self.segments = VecDeque::new();
        }
        segment
    }

    /// Marks the file that is first as one that the kernel can't send from, so that it is read and
    /// sent.
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
