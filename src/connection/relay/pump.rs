//! One direction of a relay: an engine that knows neither tasks nor handlers.

use std::os::fd::BorrowedFd;
use std::{io, mem};

use crate::connection::relay::carrier::Carrier;
use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pipes;
use crate::connection::relay::pipes::PIPE_CAPACITY;
use crate::local::deferred::Deferred;
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::sigpipe::NoSigpipe;
use crate::sys::splice::{Pipe, is_refusal};
use crate::sys::stream;

/// Where a way is in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Bytes may come.
    Flowing,
    /// The source has ended. The target is told when it has taken everything.
    Ended,
    /// Nothing happens any more.
    Over,
}

/// Why a way does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The source has nothing, or the target takes nothing.
    Waiting(Direction),
    /// It has had its share of the turn.
    BudgetSpent,
    /// For ever.
    Finished,
}

/// Where a mark of urgent data may be that came before the relay, and of which no event tells if its
/// byte has been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OldMarks {
    /// Among the bytes that had come.
    MayCome,
    /// All of these have been read, so it can only be right here.
    MayBeHere,
    /// Splice has gone on from there: nowhere.
    Past,
}

/// What failed, and how.
#[derive(Debug)]
pub(crate) enum Failure {
    Source(io::Error),
    Target(io::Error),
}

/// What is taken at once in the beginning, in bytes, and from a source whose target is slow.
const LEAST_SHARE: usize = 64 * 1024;

/// How many times `Budget::read_per_event` goes each way in a turn: nobody looks at these bytes, so
/// they cost less than what a callback reads.
const EVENTS_A_TURN: usize = 4;

/// One direction of a relay: everything that its source sends goes to its target, in order. What
/// is on its way when it is dropped is lost.
#[derive(Debug)]
pub(crate) struct Pump {
    /// What holds the bytes that have left the source and not reached the target. None while there
    /// are none, so that an idle relay holds no pipe and no buffer.
    carrier: Option<Carrier>,
    /// How many these are.
    held: usize,
    /// How many have reached the target.
    moved: u64,
    /// How many are taken at once. It grows while the target takes all of them, so that a firehose
    /// costs little; and shrinks when it doesn't, so that little is held for a slow one.
    share: usize,
    /// The kernel doesn't splice here: from now on all bytes go through a buffer.
    copies: bool,
    /// Some bytes have gone through a buffer.
    has_copied: bool,
    old_marks: OldMarks,
    /// What splice has said of the source although bytes followed: its end is this failure.
    failure: Option<io::Error>,
    stage: Stage,
}

impl Pump {
    pub(crate) const fn new() -> Pump {
        Pump {
            carrier: None,
            held: 0,
            moved: 0,
            share: LEAST_SHARE,
            copies: false,
            has_copied: false,
            old_marks: OldMarks::MayCome,
            failure: None,
            stage: Stage::Flowing,
        }
    }

    /// Whether nothing happens any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether bytes wait for the target to take them.
    pub(crate) fn is_loaded(&self) -> bool {
        self.held > 0
    }

    /// How many bytes have left the source, and how many have reached the target.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.moved + self.held as u64, self.moved)
    }

    /// Whether every byte was spliced.
    pub(crate) fn is_spliced(&self) -> bool {
        !self.copies && !self.has_copied
    }

    /// Moves what can be moved, up to a few times `Budget::read_per_event`.
    pub(crate) fn pump(
        &mut self,
        from: &impl Endpoint,
        to: &impl Endpoint,
        local: &Local,
        quiet: &NoSigpipe,
    ) -> Result<Step, Failure> {
        if self.stage == Stage::Over {
            return Ok(Step::Finished);
        }
        let (moved, held) = (self.moved, self.held);
        let step = self.go_on(from, to, local, quiet);
        let sent = (self.moved - moved) as usize;
        local.recorder.bytes_out(sent);
        local.recorder.bytes_in(self.held + sent - held);
        if step.is_err() {
            self.stage = Stage::Over;
        }
        if self.held == 0 {
            self.give_back(local);
        }
        step
    }

    fn go_on(
        &mut self,
        from: &impl Endpoint,
        to: &impl Endpoint,
        local: &Local,
        quiet: &NoSigpipe,
    ) -> Result<Step, Failure> {
        let mut left = local.budget.read_per_event.saturating_mul(EVENTS_A_TURN);
        loop {
            let unloaded = self.unload(to, local, quiet);
            if let Some(step) = unless_blocked(unloaded, Direction::Write, Failure::Target)? {
                self.share = LEAST_SHARE;
                return Ok(step);
            }
            match self.stage {
                Stage::Flowing if left == 0 => return Ok(Step::BudgetSpent),
                Stage::Flowing => {}
                Stage::Ended => return self.pass_end_on(to),
                Stage::Over => return Ok(Step::Finished),
            }
            let loaded = self.load(from, left.min(self.share), local);
            if let Some(step) = unless_blocked(loaded, Direction::Read, Failure::Source)? {
                return Ok(step);
            }
            left = left.saturating_sub(self.held);
            if self.held == self.share {
                self.share = (2 * self.share).min(PIPE_CAPACITY);
            }
        }
    }

    fn pass_end_on(&mut self, to: &impl Endpoint) -> Result<Step, Failure> {
        let ended = to.shutdown_write();
        if let Some(step) = unless_blocked(ended, Direction::Write, Failure::Target)? {
            return Ok(step);
        }
        self.stage = Stage::Over;
        Ok(Step::Finished)
    }

    /// Takes up to `most` bytes from the source. Nothing is held before, so that whatever blocks is
    /// the source.
    fn load(&mut self, from: &impl Endpoint, most: usize, local: &Local) -> io::Result<()> {
        if !from.is_ready(Direction::Read) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let is_marked = from.may_have_urgent_mark()
            || self.old_marks != OldMarks::Past
            || self.failure.is_some();
        let pipe = self.take_pipe(local);
        self.held = from.try_io(Direction::Read, |fd| {
            let Some(pipe) = pipe else { return self.load_buffer(fd, most, local) };
            let loaded = pipe.fill(fd, most);
            let is_believed = match &loaded {
                Ok(count) => *count > 0,
                Err(error) => !is_marked && error.kind() == io::ErrorKind::WouldBlock,
            };
            if is_believed {
                return self.loaded(pipe, loaded);
            }
            self.look_again(fd, most, local, pipe, loaded.err())
        })?;
        if self.held == 0 {
            self.stage = Stage::Ended;
        }
        Ok(())
    }

    /// Splice has brought no bytes: recv says whether there are any.
    ///
    /// At a mark of urgent data splice says that the socket is empty; or, when an end or an error
    /// has come, that it has ended or failed, although bytes follow. recv reads past the mark as any
    /// program does that never asked for urgent data.
    #[cold]
    fn look_again(
        &mut self,
        fd: BorrowedFd<'_>,
        most: usize,
        local: &Local,
        pipe: Pipe,
        hint: Option<io::Error>,
    ) -> io::Result<usize> {
        match hint {
            Some(error) if is_refusal(&error) => self.copies = true,
            // The kernel tells of it only once.
            Some(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.failure.get_or_insert(error);
            }
            _ => {}
        }
        let seen = stream::peek(fd, &mut [0]);
        if matches!(seen, Ok(1..)) {
            // They are at a mark, or have come just now.
            let again = if self.copies { Ok(0) } else { pipe.fill(fd, most) };
            if matches!(again, Ok(1..)) {
                return self.loaded(pipe, again);
            }
        }
        Carrier::Pipe(pipe).give_back(local);
        if matches!(seen, Ok(1..)) {
            return self.load_buffer(fd, most, local);
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.old_marks == OldMarks::MayCome {
            self.old_marks = OldMarks::MayBeHere;
        }
        seen
    }

    /// The pipe has the bytes of the source, if there were any.
    fn loaded(&mut self, pipe: Pipe, count: io::Result<usize>) -> io::Result<usize> {
        self.carrier = Some(Carrier::Pipe(pipe));
        if self.old_marks == OldMarks::MayBeHere && matches!(count, Ok(1..)) {
            self.old_marks = OldMarks::Past;
        }
        count
    }

    /// An empty pipe; none if the bytes are to be copied.
    fn take_pipe(&mut self, local: &Local) -> Option<Pipe> {
        match self.carrier.take() {
            Some(Carrier::Pipe(pipe)) if !self.copies => return Some(pipe),
            Some(other) => other.give_back(local),
            None => {}
        }
        if self.copies {
            return None;
        }
        let pipe = pipes::take(local).ok();
        self.copies = pipe.is_none();
        pipe
    }

    fn load_buffer(&mut self, fd: BorrowedFd<'_>, most: usize, local: &Local) -> io::Result<usize> {
        let buffers = &local.buffers;
        let mut buffer = buffers.take().unwrap_or_else(|| buffers.another());
        let space = most.min(buffer.len());
        let received = stream::recv_uncounted(fd, &mut buffer[..space]);
        self.has_copied |= matches!(received, Ok(1..));
        self.carrier = Some(Carrier::Buffer(buffer, 0));
        received
    }

    /// Gives what is held to the target.
    fn unload(&mut self, to: &impl Endpoint, local: &Local, quiet: &NoSigpipe) -> io::Result<()> {
        while self.held > 0 {
            let Some(carrier) = &mut self.carrier else {
                unreachable!("what is held is held by something")
            };
            let given = carrier.give(self.held, to, quiet);
            if carrier.is_refused(&given) {
                self.pour(local)?;
                continue;
            }
            let given = given?;
            self.held -= given;
            self.moved += given as u64;
        }
        Ok(())
    }

    /// The target can't be spliced to: what is in the pipe goes into a buffer.
    #[cold]
    fn pour(&mut self, local: &Local) -> io::Result<()> {
        self.copies = true;
        let Some(pipe) = self.carrier.take() else { return Ok(()) };
        let bytes = pipe.copy_out(self.held)?;
        pipe.give_back(local);
        self.carrier = Some(Carrier::Buffer(bytes.into_boxed_slice(), 0));
        Ok(())
    }

    /// Nothing is held: others may have what held it.
    fn give_back(&mut self, local: &Local) {
        if let Some(carrier) = self.carrier.take() {
            carrier.give_back(local);
        }
    }

    /// Ends it. What is held is lost.
    pub(crate) fn end(&mut self, local: &Local) {
        self.stage = Stage::Over;
        let is_held = mem::take(&mut self.held) > 0;
        match self.carrier.take() {
            Some(pipe @ Carrier::Pipe(_)) if is_held => {
                drop(pipe);
                // Not now: the relay is borrowed, and a listener that is told may be foreign.
                local.defer(Deferred::Closed);
            }
            Some(carrier) => carrier.give_back(local),
            None => {}
        }
    }

    /// Ends it, and takes what is held out of it.
    pub(crate) fn stop(&mut self, local: &Local) -> Vec<u8> {
        self.stage = Stage::Over;
        let held = mem::take(&mut self.held);
        let Some(carrier) = self.carrier.take() else { return Vec::new() };
        let Ok(bytes) = carrier.copy_out(held) else { return Vec::new() };
        carrier.give_back(local);
        bytes
    }
}

/// `Waits` if `result` is `WouldBlock`, and the failure if it is one.
fn unless_blocked(
    result: io::Result<()>,
    direction: Direction,
    failure: impl FnOnce(io::Error) -> Failure,
) -> Result<Option<Step>, Failure> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Some(Step::Waiting(direction)))
        }
        Err(error) => Err(failure(error)),
    }
}
