//! One direction of a relay, and both: an engine that knows neither tasks nor handlers.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;

use crate::parts::readiness::Direction;
use crate::sys::splice::Pipe;
use crate::sys::stream;

use super::local::Local;
use super::pipes::PIPE_CAPACITY;
use super::registered::Registered;
use super::source::Registration;

/// A connection at one end of a relay.
pub(crate) trait End {
    /// Whether a call in `direction` may succeed.
    fn is_ready(&self, direction: Direction) -> bool;

    /// Calls `operation` if it may succeed; `WouldBlock` otherwise. Once that has come, from
    /// here or from the kernel, nothing succeeds before an event has.
    fn try_io(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize>;

    /// Shuts the write direction down, after everything that has been written.
    fn end(&self) -> io::Result<()>;
}

/// What bytes are in between the two ends.
#[derive(Debug)]
enum Carrier {
    /// Splice.
    Pipe(Pipe),
    /// A buffer, for descriptors that can't be spliced, and where the bytes begin in it.
    Buffer(Box<[u8]>, usize),
}

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
    Waits(Direction),
    /// It has had its share of the turn.
    Spent,
    /// For ever.
    Over,
}

impl End for Registered {
    fn is_ready(&self, direction: Direction) -> bool {
        Registration::is_ready(self, direction)
    }

    fn try_io(
        &self,
        direction: Direction,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        Registered::try_io(self, direction, operation)
    }

    fn end(&self) -> io::Result<()> {
        self.shut_down(Shutdown::Write)
    }
}

/// What failed, and how.
#[derive(Debug)]
enum Failure {
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
pub(crate) struct Way {
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
    /// Bytes go through a buffer.
    copies: bool,
    stage: Stage,
}

impl Way {
    const fn new() -> Way {
        let (held, moved, share) = (0, 0, LEAST_SHARE);
        Way { carrier: None, held, moved, share, copies: false, stage: Stage::Flowing }
    }

    /// Moves what can be moved, up to a few times `Budget::read_per_event`.
    fn pump(&mut self, from: &impl End, to: &impl End, local: &Local) -> Result<Step, Failure> {
        if self.stage == Stage::Over {
            return Ok(Step::Over);
        }
        let (moved, held) = (self.moved, self.held);
        let step = self.go_on(from, to, local);
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

    fn go_on(&mut self, from: &impl End, to: &impl End, local: &Local) -> Result<Step, Failure> {
        let mut left = local.budget.read_per_event.saturating_mul(EVENTS_A_TURN);
        loop {
            let unloaded = self.unload(to);
            if let Some(step) = unless_blocked(unloaded, Direction::Write, Failure::Target)? {
                self.share = LEAST_SHARE;
                return Ok(step);
            }
            match self.stage {
                Stage::Flowing if left == 0 => return Ok(Step::Spent),
                Stage::Flowing => {}
                Stage::Ended => return self.pass_end_on(to),
                Stage::Over => return Ok(Step::Over),
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

    fn pass_end_on(&mut self, to: &impl End) -> Result<Step, Failure> {
        let ended = to.end();
        if let Some(step) = unless_blocked(ended, Direction::Write, Failure::Target)? {
            return Ok(step);
        }
        self.stage = Stage::Over;
        Ok(Step::Over)
    }

    /// Takes up to `most` bytes from the source. Nothing is held before, so that whatever blocks is
    /// the source.
    fn load(&mut self, from: &impl End, most: usize, local: &Local) -> io::Result<()> {
        if !from.is_ready(Direction::Read) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.held = match self.load_pipe(from, most, local) {
            Some(loaded) => loaded?,
            None => self.load_buffer(from, most, local)?,
        };
        if self.held == 0 {
            self.stage = Stage::Ended;
        }
        Ok(())
    }

    /// None if that can't be done: the source is no descriptor for it, or there are no pipes.
    fn load_pipe(
        &mut self,
        from: &impl End,
        most: usize,
        local: &Local,
    ) -> Option<io::Result<usize>> {
        if self.carrier.is_none() && !self.copies {
            self.carrier = local.take_pipe().ok().map(Carrier::Pipe);
        }
        if let Some(Carrier::Pipe(pipe)) = &self.carrier {
            let loaded = from.try_io(Direction::Read, |fd| pipe.fill(fd, most));
            if !is_unsuitable(&loaded) {
                return Some(loaded);
            }
            self.give_back(local);
        }
        self.copies = true;
        None
    }

    fn load_buffer(&mut self, from: &impl End, most: usize, local: &Local) -> io::Result<usize> {
        let buffers = &local.buffers;
        let mut buffer = match self.carrier.take() {
            Some(Carrier::Buffer(buffer, _)) => buffer,
            _ => buffers.take().unwrap_or_else(|| buffers.another()),
        };
        let space = most.min(buffer.len());
        let received =
            from.try_io(Direction::Read, |fd| stream::recv_uncounted(fd, &mut buffer[..space]));
        self.carrier = Some(Carrier::Buffer(buffer, 0));
        received
    }

    /// Gives what is held to the target.
    fn unload(&mut self, to: &impl End) -> io::Result<()> {
        while self.held > 0 {
            let sent = match &mut self.carrier {
                Some(Carrier::Pipe(pipe)) => {
                    to.try_io(Direction::Write, |fd| pipe.drain(fd, self.held))
                }
                Some(Carrier::Buffer(buffer, start)) => {
                    let bytes = &buffer[*start..*start + self.held];
                    let sent = to.try_io(Direction::Write, |fd| stream::send_uncounted(fd, bytes));
                    *start += sent.as_ref().map_or(0, |sent| *sent);
                    sent
                }
                None => unreachable!("what is held is held by something"),
            };
            if is_unsuitable(&sent) && !self.copies {
                self.pour()?;
                continue;
            }
            let sent = sent?;
            self.held -= sent;
            self.moved += sent as u64;
        }
        Ok(())
    }

    /// The target can't be spliced to: what is in the pipe goes into a buffer.
    fn pour(&mut self) -> io::Result<()> {
        self.copies = true;
        let Some(Carrier::Pipe(pipe)) = self.carrier.take() else { return Ok(()) };
        let mut buffer = vec![0; self.held].into_boxed_slice();
        let mut done = 0;
        while done < buffer.len() {
            match pipe.read(&mut buffer[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        self.carrier = Some(Carrier::Buffer(buffer, 0));
        Ok(())
    }

    /// Nothing is held: others may have what held it.
    fn give_back(&mut self, local: &Local) {
        match self.carrier.take() {
            Some(Carrier::Pipe(pipe)) => local.keep_pipe(pipe),
            // What was poured has a buffer of its own.
            Some(Carrier::Buffer(it, _)) if it.len() == local.buffers.size() => {
                local.buffers.take_back(it);
            }
            _ => {}
        }
    }

    /// Ends it, and takes what is held out of it.
    fn stop(&mut self, local: &Local) -> Vec<u8> {
        self.stage = Stage::Over;
        let count = mem::take(&mut self.held);
        let mut held = vec![0; count];
        match &self.carrier {
            Some(Carrier::Buffer(buffer, start)) => {
                held.copy_from_slice(&buffer[*start..*start + count]);
            }
            Some(Carrier::Pipe(pipe)) => {
                let mut done = 0;
                while let Ok(count @ 1..) = pipe.read(&mut held[done..]) {
                    done += count;
                }
            }
            None => {}
        }
        self.give_back(local);
        held
    }
}

/// What a descriptor says that can't be spliced: splice(2).
fn is_unsuitable<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::InvalidInput)
}

/// `Waits` if `result` is `WouldBlock`, and the failure if it is one.
fn unless_blocked(
    result: io::Result<()>,
    direction: Direction,
    failure: impl FnOnce(io::Error) -> Failure,
) -> Result<Option<Step>, Failure> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(Step::Waits(direction))),
        Err(error) => Err(failure(error)),
    }
}

/// The two ways between two ends.
#[derive(Debug)]
pub(crate) struct Pair {
    /// From the first end to the second, and back.
    ways: [Way; 2],
    /// The first thing that failed.
    failure: Option<io::Error>,
}

impl Pair {
    pub(crate) const fn new() -> Pair {
        Pair { ways: [Way::new(), Way::new()], failure: None }
    }

    /// Moves what can be moved, both ways.
    ///
    /// When reading an end fails, the connection is gone: nothing goes there any more. When writing
    /// to it fails, what it has sent before still arrives, and then comes its end.
    pub(crate) fn pump<E: End>(&mut self, ends: [&E; 2], local: &Local) -> [Step; 2] {
        let mut steps = [Step::Over; 2];
        for (there, back) in [(0, 1), (1, 0)] {
            match self.ways[there].pump(ends[there], ends[back], local) {
                Ok(step) => steps[there] = step,
                Err(Failure::Target(error)) => {
                    self.failure.get_or_insert(error);
                }
                Err(Failure::Source(error)) => {
                    self.failure.get_or_insert(error);
                    drop(self.ways[back].stop(local));
                    steps[back] = Step::Over;
                }
            }
        }
        steps
    }

    /// How many bytes have gone each way.
    pub(crate) fn moved(&self) -> [u64; 2] {
        [self.ways[0].moved, self.ways[1].moved]
    }

    /// Whether every byte was spliced.
    pub(crate) fn is_spliced(&self) -> bool {
        self.ways.iter().all(|way| !way.copies)
    }

    /// What has failed.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Ends both ways, and takes out what was on its way to the first end and to the second.
    pub(super) fn stop(&mut self, local: &Local) -> [Vec<u8>; 2] {
        let [there, back] = &mut self.ways;
        [back.stop(local), there.stop(local)]
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Pair, Step};
    use crate::parts::budget::Budget;
    use crate::parts::readiness::Direction;
    use crate::poller::Poller;
    use std::io::{self, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::{AsFd, BorrowedFd};

    impl End for TcpStream {
        fn is_ready(&self, _: Direction) -> bool {
            true
        }

        fn try_io(
            &self,
            _: Direction,
            operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> io::Result<usize> {
            operation(self.as_fd())
        }

        fn end(&self) -> io::Result<()> {
            self.shutdown(Shutdown::Write)
        }
    }

    /// One end for the relay, and its peer.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        (ours, peer)
    }

    #[test]
    fn what_is_on_its_way_comes_out_when_a_relay_is_stopped() {
        let poller = Poller::on_this_thread(Budget::default()).unwrap();
        let local = poller.local();
        let ((a, mut near), (b, mut far)) = (pair(), pair());
        let (mut relay, mut sent) = (Pair::new(), Vec::new());
        // Until a pipe is full and stays so: the target takes nothing any more.
        while relay.pump([&a, &b], local)[0] != Step::Waits(Direction::Write) {
            let bytes: Vec<u8> = (0..10_007).map(|at| (at + sent.len()) as u8).collect();
            if let Ok(count) = near.write(&bytes) {
                sent.extend_from_slice(&bytes[..count]);
            }
        }
        let moved = relay.moved()[0] as usize;
        let [to_first, to_second] = relay.stop(local);
        assert!(to_first.is_empty() && !to_second.is_empty());
        assert!(to_second[..] == sent[moved..moved + to_second.len()], "bytes are damaged");
        let mut got = vec![0; moved];
        far.set_nonblocking(false).unwrap();
        far.read_exact(&mut got).unwrap();
        assert!(got[..] == sent[..moved], "bytes are damaged");
        // It went back empty.
        assert!(local.take_pipe().unwrap().read(&mut [0]).is_err());
    }
}
