//! The two ends of a pipe as the simulated kernel keeps them.

use std::collections::VecDeque;

use super::id::Id;

/// How many bytes a slot of a pipe holds: a page.
pub(super) const SLOT: usize = 4096;

/// The slots that a pipe can have: /proc/sys/fs/pipe-max-size.
const MOST_SLOTS: usize = 256;

/// Some bytes in a pipe.
#[derive(Debug)]
struct Slot {
    /// The bytes that are left.
    bytes: Vec<u8>,
    /// How many have been taken out.
    taken: usize,
    /// Whether what is written next may be added: not if the page is another one's.
    can_grow: bool,
}

/// The end of a pipe that bytes come out of. It has the bytes.
#[derive(Debug)]
pub(super) struct PipeReader {
    /// The bytes that are in the pipe.
    slots: VecDeque<Slot>,
    /// How many slots there may be.
    most: usize,
    /// The other end, unless it is closed.
    pub(super) writer: Option<Id>,
}

impl PipeReader {
    /// Makes an end of an empty pipe for `capacity` bytes: F_SETPIPE_SZ of fcntl(2).
    pub(super) fn new(capacity: usize) -> PipeReader {
        let most = capacity.div_ceil(SLOT).clamp(1, MOST_SLOTS).next_power_of_two();
        PipeReader { slots: VecDeque::new(), most, writer: None }
    }

    /// Returns `true` if the pipe takes nothing.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= self.most
    }

    /// Returns `true` if there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns for how many bytes there are free slots.
    pub(super) fn room(&self) -> usize {
        (self.most - self.slots.len()) * SLOT
    }

    /// Adds what there are free slots for, and returns how many bytes that is. Written bytes fill
    /// the page of the last ones up; moved ones stay in the pages that they came in.
    pub(super) fn push(&mut self, mut bytes: &[u8], are_moved: bool) -> usize {
        let given = bytes.len();
        let odd = given % SLOT;
        if !are_moved
            && odd > 0
            && let Some(last) = self.slots.back_mut()
            && last.can_grow
            && last.taken + last.bytes.len() + odd <= SLOT
        {
            last.bytes.extend(&bytes[..odd]);
            bytes = &bytes[odd..];
        }
        while !bytes.is_empty() && !self.is_full() {
            let (page, rest) = bytes.split_at(bytes.len().min(SLOT));
            self.slots.push_back(Slot { bytes: page.into(), taken: 0, can_grow: !are_moved });
            bytes = rest;
        }
        given - bytes.len()
    }

    /// Returns a copy of the first bytes, at most so many.
    pub(super) fn front(&self, most: usize) -> Vec<u8> {
        self.slots.iter().flat_map(|slot| &slot.bytes).take(most).copied().collect()
    }

    /// Takes the first `count` bytes out, and returns how many slots are free by that.
    pub(super) fn take(&mut self, mut count: usize) -> usize {
        let before = self.slots.len();
        while count > 0
            && let Some(first) = self.slots.front_mut()
        {
            let part = count.min(first.bytes.len());
            first.bytes.drain(..part);
            first.taken += part;
            count -= part;
            if first.bytes.is_empty() {
                self.slots.pop_front();
            }
        }
        before - self.slots.len()
    }

    /// Returns the conditions that hold: pipe_poll.
    pub(super) fn conditions(&self) -> u32 {
        let readable = if self.is_empty() { 0 } else { libc::EPOLLIN };
        let ended = if self.writer.is_none() { libc::EPOLLHUP } else { 0 };
        (readable | ended) as u32
    }
}

/// The end of a pipe that bytes go into.
#[derive(Debug)]
pub(super) struct PipeWriter {
    /// The other end, unless it is closed.
    pub(super) reader: Option<Id>,
    /// Whether the pipe was full when that was closed.
    pub(super) was_full: bool,
}
