//! Output that a connection has accepted and the kernel has not taken yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Slices handed to one `sendmsg`. More bring nothing: the send buffer is full before.
pub(crate) const SLICES: usize = 64;

/// Segments up to this size are copied together: fewer slices, fewer allocations.
const COALESCE: usize = 16 * 1024;

/// Bytes in the order in which they were written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are in the kernel already.
    sent: usize,
    /// Bytes in all segments that are not.
    pending: usize,
}

#[derive(Debug)]
enum Segment {
    /// Copied from a borrowed slice; the last one may grow.
    Copied(Vec<u8>),
    /// Shared with whoever else sends the same.
    Shared(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Copied(bytes) => bytes,
            Segment::Shared(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Copies `bytes` to the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending += bytes.len();
        if let Some(Segment::Copied(last)) = self.segments.back_mut()
            && last.len() + bytes.len() <= COALESCE
        {
            last.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.segments.push_back(Segment::Copied(bytes.to_vec()));
        }
    }

    /// Puts `bytes` at the end without copying them.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        self.pending += bytes.len();
        if !bytes.is_empty() {
            self.segments.push_back(Segment::Shared(bytes));
        }
    }

    /// The first slices to send; says how many of `slices` are set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut count = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            let skip = if count == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&segment.bytes()[skip..]);
            count += 1;
        }
        count
    }

    /// The kernel has taken the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.pending -= count;
        self.sent += count;
        while let Some(first) = self.segments.front() {
            let length = first.bytes().len();
            if self.sent < length {
                return;
            }
            self.sent -= length;
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IoSlice, Outbox, SLICES};
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        /// Held against one vector of bytes.
        #[test]
        fn bytes_come_out_once_and_in_order(
            steps in prop::collection::vec((0u8..3, 0usize..40_000), 1..60),
        ) {
            let mut outbox = Outbox::default();
            let (mut model, mut next) = (Vec::new(), 0u8);
            for (kind, length) in steps {
                if kind < 2 {
                    let bytes: Vec<u8> = (0..length).map(|_| { next = next.wrapping_add(1); next }).collect();
                    model.extend_from_slice(&bytes);
                    if kind == 0 { outbox.push(&bytes) } else { outbox.push_shared(Bytes::from(bytes)) }
                } else {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let count = outbox.slices(&mut slices);
                    let head: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                    prop_assert_eq!(&head[..], &model[..head.len()]);
                    prop_assert!(count == SLICES || head.len() == model.len());
                    let sent = length.min(head.len());
                    outbox.advance(sent);
                    model.drain(..sent);
                }
                prop_assert_eq!(outbox.pending(), model.len());
            }
        }
    }
}
