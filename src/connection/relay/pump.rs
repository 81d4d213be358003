//! One direction of a relay.
//!
//! A pump moves bytes from a source to a target by splice(2), through a pipe, and copies them
//! through a buffer where the kernel refuses to splice. It knows its ends only as [`Endpoint`]s, so
//! that tasks and handlers use the same one.
//!
//! While bytes flow, a round is two system calls: one that fills the pipe from the source, and one
//! that empties it into the target. A pump holds bytes only while its target takes none. Then it
//! reads no more, the source's receive buffer fills up, and TCP tells the source's peer to wait.

use std::os::fd::BorrowedFd;
use std::{io, mem};

use crate::connection::relay::carrier::Carrier;
use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pipes;
use crate::connection::relay::pipes::PIPE_CAPACITY;
use crate::connection::relay::step::{Failure, Step, unless_blocked};
use crate::local::context::MIN_READ_COST;
use crate::local::deferred::Deferred;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::sigpipe::NoSigpipe;
use crate::sys::splice::{Pipe, is_refusal};
use crate::sys::stream;

/// How many bytes are taken at once in the beginning, and from a source whose target is slow.
const MIN_BATCH: usize = 64 * 1024;

/// How many times `Budget::read_per_event` each direction may move in a turn. No code looks at
/// these bytes, so they cost less than those that a callback reads.
const EVENTS_PER_TURN: usize = 4;

/// Where a pump is in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The source may send more.
    Flowing,
    /// The source has ended. The target is shut down when it has taken everything.
    SourceEnded,
    /// Nothing is moved any more.
    Finished,
}

/// Where a mark of urgent data may be that came before the relay began. If its byte has been taken
/// already, no event reports the mark, but splice(2) stops at it all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EarlierMark {
    /// Among the bytes that had come before.
    Ahead,
    /// Exactly here, if anywhere: all bytes that had come have been read.
    Here,
    /// Nowhere: splice has gone on from there.
    Passed,
}

/// One direction of a relay: everything that its source sends goes to its target, in order. Bytes
/// that are on their way when it is dropped are lost.
#[derive(Debug)]
pub(crate) struct Pump {
    /// What holds the bytes that have left the source and not reached the target. `None` while
    /// there are none, so that an idle relay holds no pipe and no buffer.
    carrier: Option<Carrier>,
    /// How many bytes the carrier holds.
    held: usize,
    /// How many bytes have reached the target.
    moved: u64,
    /// How many bytes are taken at once. It grows while the target takes all of them, so that a
    /// fast transfer needs few system calls. It shrinks when the target doesn't, so that little is
    /// held for a slow one.
    batch: usize,
    /// The kernel doesn't splice here: from now on all bytes go through a buffer.
    copies: bool,
    /// Some bytes have gone through a buffer.
    has_copied: bool,
    /// Where a mark of urgent data from before the relay may be.
    earlier_mark: EarlierMark,
    /// An error of the source that splice has returned although bytes followed. It is returned when
    /// they have been read.
    failure: Option<io::Error>,
    /// Where the pump is in its life.
    state: State,
}

impl Pump {
    /// Makes a pump that has moved nothing yet.
    pub(crate) const fn new() -> Pump {
        Pump {
            carrier: None,
            held: 0,
            moved: 0,
            batch: MIN_BATCH,
            copies: false,
            has_copied: false,
            earlier_mark: EarlierMark::Ahead,
            failure: None,
            state: State::Flowing,
        }
    }

    /// Moves what can be moved, up to a few times `Budget::read_per_event`, and returns why it
    /// doesn't go on.
    pub(crate) fn pump(
        &mut self,
        from: &impl Endpoint,
        to: &impl Endpoint,
        local: &Local,
        no_sigpipe: &NoSigpipe,
    ) -> Result<Step, Failure> {
        if self.state == State::Finished {
            return Ok(Step::Finished);
        }
        let (moved, held) = (self.moved, self.held);
        let step = self.run(from, to, local, no_sigpipe);
        let sent = (self.moved - moved) as usize;
        local.recorder.bytes_out(sent);
        local.recorder.bytes_in(self.held + sent - held);
        if step.is_err() {
            self.state = State::Finished;
        }
        if self.held == 0 {
            self.give_back(local);
        }
        step
    }

    /// Reads and writes in turns, until one of the two blocks or the budget is spent.
    fn run(
        &mut self,
        from: &impl Endpoint,
        to: &impl Endpoint,
        local: &Local,
        no_sigpipe: &NoSigpipe,
    ) -> Result<Step, Failure> {
        let mut left = local.budget.read_per_event.saturating_mul(EVENTS_PER_TURN);
        loop {
            // Writing first: what an earlier turn has left goes before anything new, and a pump
            // never holds more than one batch.
            let written = self.write_batch(to, local, no_sigpipe);
            if let Some(step) = unless_blocked(written, Direction::Write, Failure::Target)? {
                // The target is slow: from now on little is taken for it at once.
                self.batch = MIN_BATCH;
                return Ok(step);
            }
            match self.state {
                State::Flowing if left == 0 => return Ok(Step::BudgetSpent),
                State::Flowing => {}
                State::SourceEnded => return self.pass_end_on(to),
                State::Finished => return Ok(Step::Finished),
            }
            let read = self.read_batch(from, left.min(self.batch), local);
            if let Some(step) = unless_blocked(read, Direction::Read, Failure::Source)? {
                return Ok(step);
            }
            // What is read counts: each byte that is read is written once. Few bytes take system calls
            // as well, and a source may bring them one at a time.
            left = left.saturating_sub(self.held.max(MIN_READ_COST));
            if self.held == self.batch {
                // The source has brought all that was asked for: it may have more.
                self.batch = (2 * self.batch).min(PIPE_CAPACITY);
            }
        }
    }

    /// Shuts the write direction of the target down, as the source has ended.
    fn pass_end_on(&mut self, to: &impl Endpoint) -> Result<Step, Failure> {
        let ended = to.shutdown_write();
        if let Some(step) = unless_blocked(ended, Direction::Write, Failure::Target)? {
            return Ok(step);
        }
        self.state = State::Finished;
        Ok(Step::Finished)
    }

    /// Takes up to `most` bytes from the source. It is called while nothing is held, so that
    /// `WouldBlock` means an empty source and never a full pipe.
    fn read_batch(&mut self, from: &impl Endpoint, most: usize, local: &Local) -> io::Result<()> {
        if !from.is_ready(Direction::Read) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let may_have_mark = from.may_have_urgent_mark()
            || self.earlier_mark != EarlierMark::Passed
            || self.failure.is_some();
        let pipe = self.take_pipe(local);
        self.held = from.try_io(Direction::Read, |fd| {
            let Some(pipe) = pipe else { return self.read_into_buffer(fd, most, local) };
            let filled = pipe.fill(fd, most);
            // An empty source is believed, unless there may be a mark: to ask recv(2) as well would
            // cost a system call each time that the source has been emptied.
            let is_believed = match &filled {
                Ok(count) => *count > 0,
                Err(error) => !may_have_mark && error.kind() == io::ErrorKind::WouldBlock,
            };
            if is_believed {
                return self.keep_pipe(pipe, filled);
            }
            self.read_past_mark(fd, most, local, pipe, filled.err())
        })?;
        if self.held == 0 {
            self.state = State::SourceEnded;
        }
        Ok(())
    }

    /// Asks recv(2) whether there are bytes, after splice(2) has brought none, and reads them.
    ///
    /// At a mark of urgent data splice says that the socket is empty; or that it has ended or
    /// failed, once an end or an error has come; although bytes follow. recv reads past the mark,
    /// as it does for any program that never asks for urgent data.
    #[cold]
    fn read_past_mark(
        &mut self,
        fd: BorrowedFd<'_>,
        most: usize,
        local: &Local,
        pipe: Pipe,
        hint: Option<io::Error>,
    ) -> io::Result<usize> {
        match hint {
            Some(error) if is_refusal(&error) => self.copies = true,
            // The kernel returns a pending error once, so it has to be kept.
            Some(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.failure.get_or_insert(error);
            }
            _ => {}
        }
        let seen = stream::look(fd);
        if matches!(seen, Ok(1..)) {
            // They follow a mark, or have come just now. In the second case they can be spliced.
            let again = if self.copies { Ok(0) } else { pipe.fill(fd, most) };
            if matches!(again, Ok(1..)) {
                return self.keep_pipe(pipe, again);
            }
        }
        Carrier::Pipe(pipe).give_back(local);
        if matches!(seen, Ok(1..)) {
            return self.read_into_buffer(fd, most, local);
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.earlier_mark == EarlierMark::Ahead {
            self.earlier_mark = EarlierMark::Here;
        }
        seen
    }

    /// Keeps a pipe that splice has filled with `filled` bytes.
    fn keep_pipe(&mut self, pipe: Pipe, filled: io::Result<usize>) -> io::Result<usize> {
        self.carrier = Some(Carrier::Pipe(pipe));
        if self.earlier_mark == EarlierMark::Here && matches!(filled, Ok(1..)) {
            self.earlier_mark = EarlierMark::Passed;
        }
        filled
    }

    /// Returns an empty pipe, or `None` if the bytes are to be copied.
    fn take_pipe(&mut self, local: &Local) -> Option<Pipe> {
        match self.carrier.take() {
            Some(Carrier::Pipe(pipe)) if !self.copies => return Some(pipe),
            Some(other) => other.give_back(local),
            None => {}
        }
        if self.copies {
            return None;
        }
        // Without descriptors or memory for a pipe, the bytes are copied: that needs neither.
        let pipe = pipes::take(local).ok();
        // For good: a relay that begins to copy under such a pressure leaves the pipes to others.
        self.copies = pipe.is_none();
        pipe
    }

    /// Copies up to `most` bytes of the source into a buffer.
    fn read_into_buffer(
        &mut self,
        fd: BorrowedFd<'_>,
        most: usize,
        local: &Local,
    ) -> io::Result<usize> {
        let mut buffer = local.buffers.take();
        let space = most.min(buffer.len());
        let received = stream::recv_uncounted(fd, &mut buffer[..space]);
        self.has_copied |= matches!(received, Ok(1..));
        self.carrier = Some(Carrier::Buffer(buffer, 0));
        received
    }

    /// Writes what is held to the target, until nothing is left or the target blocks.
    fn write_batch(
        &mut self,
        to: &impl Endpoint,
        local: &Local,
        no_sigpipe: &NoSigpipe,
    ) -> io::Result<()> {
        while self.held > 0 {
            let Some(carrier) = &mut self.carrier else {
                unreachable!("bytes that are held are in a carrier")
            };
            let written = carrier.write_to(self.held, to, no_sigpipe);
            if carrier.is_refused(&written) {
                self.spill(local)?;
                continue;
            }
            let written = written?;
            self.held -= written;
            self.moved += written as u64;
        }
        Ok(())
    }

    /// Moves what is in the pipe into a buffer, since the kernel doesn't splice to the target.
    #[cold]
    fn spill(&mut self, local: &Local) -> io::Result<()> {
        self.copies = true;
        let Some(pipe) = self.carrier.take() else { return Ok(()) };
        let bytes = pipe.copy_out(self.held)?;
        pipe.give_back(local);
        self.carrier = Some(Carrier::Buffer(bytes.into_boxed_slice(), 0));
        Ok(())
    }

    /// Gives the empty carrier back to the poller.
    fn give_back(&mut self, local: &Local) {
        if let Some(carrier) = self.carrier.take() {
            carrier.give_back(local);
        }
    }

    /// Returns `true` once nothing is moved any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Returns `true` if bytes wait for the target to take them.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.held > 0
    }

    /// Returns how many bytes have left the source, and how many have reached the target.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.moved + self.held as u64, self.moved)
    }

    /// Returns `true` if every byte was spliced, and none copied.
    pub(crate) fn is_spliced(&self) -> bool {
        !self.copies && !self.has_copied
    }

    /// Ends the pump. Bytes that are held are lost.
    pub(crate) fn end(&mut self, local: &Local) {
        self.state = State::Finished;
        let is_loaded = mem::take(&mut self.held) > 0;
        match self.carrier.take() {
            // Bytes are left in it, so that it can't be used by another relay.
            Some(pipe @ Carrier::Pipe(_)) if is_loaded => {
                drop(pipe);
                // Not now: the relay is borrowed, and what waits for a descriptor may run foreign
                // code.
                local.defer(Deferred::FdFreed);
            }
            Some(carrier) => carrier.give_back(local),
            None => {}
        }
    }

    /// Ends the pump, and returns the bytes that are held.
    pub(crate) fn stop(&mut self, local: &Local) -> Vec<u8> {
        self.state = State::Finished;
        let held = mem::take(&mut self.held);
        let Some(carrier) = self.carrier.take() else { return Vec::new() };
        let Ok(bytes) = carrier.copy_out(held) else { return Vec::new() };
        carrier.give_back(local);
        bytes
    }
}
