//! Both directions of a relay.

use std::io;
use std::os::fd::BorrowedFd;

use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pump::{Failure, Pump, Step};
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::sigpipe::NoSigpipe;
use crate::sys::{socket, stream};

/// The two ways between two ends.
///
/// It ends when both ways have, or when one of its ends has failed: what a failed end had sent before
/// is passed on, and nothing is read of the other one any more, since there is no end to take it.
#[derive(Debug)]
pub(crate) struct Duplex {
    /// From the first end to the second, and back.
    ways: [Pump; 2],
    /// The first thing that failed.
    failure: Option<io::Error>,
    has_failed: bool,
}

impl Duplex {
    pub(crate) const fn new() -> Duplex {
        Duplex { ways: [Pump::new(), Pump::new()], failure: None, has_failed: false }
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn pump<E: Endpoint>(&mut self, ends: [&E; 2], local: &Local) -> [Step; 2] {
        let quiet = NoSigpipe::new();
        let mut steps = [0, 1].map(|way| self.pump_way(way, ends, local, &quiet));
        for (at, end) in ends.into_iter().enumerate() {
            if self.ways.iter().all(Pump::is_finished) {
                // Both ends are done: what becomes of a connection now is not the relay's.
                break;
            }
            // A way that waits for its source writes nothing that would tell of its target.
            if let Err(error) = end.check_for_failure(!self.ways[1 - at].is_finished()) {
                self.fail(at, error, local);
            }
        }
        if self.has_failed {
            steps = [0, 1].map(|way| self.finish_way(way, ends, steps[way], local, &quiet));
        }
        steps
    }

    fn pump_way<E: Endpoint>(
        &mut self,
        way: usize,
        ends: [&E; 2],
        local: &Local,
        quiet: &NoSigpipe,
    ) -> Step {
        match self.ways[way].pump(ends[way], ends[1 - way], local, quiet) {
            Ok(step) => return step,
            Err(Failure::Source(error)) => self.fail(way, error, local),
            Err(Failure::Target(error)) => self.fail(1 - way, error, local),
        }
        Step::Finished
    }

    /// One end has failed: what it has sent before is read to the last byte, and nothing is waited
    /// for.
    #[cold]
    fn finish_way<E: Endpoint>(
        &mut self,
        way: usize,
        ends: [&E; 2],
        step: Step,
        local: &Local,
        quiet: &NoSigpipe,
    ) -> Step {
        let waits_to_read = |step| step == Step::Waiting(Direction::Read);
        if self.ways[way].is_finished() {
            return Step::Finished;
        }
        if !waits_to_read(step) {
            return step;
        }
        // It came before what failed, and may be told of later.
        ends[way].expect_input();
        let step = self.pump_way(way, ends, local, quiet);
        if !waits_to_read(step) {
            return step;
        }
        self.ways[way].end(local);
        Step::Finished
    }

    /// The connection at the place `end` has failed: nothing goes there any more.
    #[cold]
    pub(crate) fn fail(&mut self, end: usize, error: io::Error, local: &Local) {
        self.has_failed = true;
        self.failure.get_or_insert(error);
        self.ways[1 - end].end(local);
    }

    /// Whether one of the ends has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether bytes wait for the connection at the place `end` to take them.
    pub(crate) fn is_loaded_for(&self, end: usize) -> bool {
        self.ways[1 - end].is_loaded()
    }

    /// How many bytes have left the source of each way, and how many have reached its target.
    pub(crate) fn counts(&self) -> [(u64, u64); 2] {
        [0, 1].map(|way| self.ways[way].counts())
    }

    /// How many bytes have gone each way.
    pub(crate) fn moved(&self) -> [u64; 2] {
        self.counts().map(|(_, arrived)| arrived)
    }

    /// Whether every byte was spliced.
    pub(crate) fn is_spliced(&self) -> bool {
        self.ways.iter().all(Pump::is_spliced)
    }

    /// What has failed.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Ends both ways, and takes out what was on its way to the first end and to the second.
    pub(crate) fn stop(&mut self, local: &Local) -> [Vec<u8>; 2] {
        let [there, back] = &mut self.ways;
        [back.stop(local), there.stop(local)]
    }
}

/// Looks whether the connection has failed; and if it is `is_target`, whether it takes bytes.
#[cold]
pub(crate) fn check_socket(fd: BorrowedFd<'_>, is_target: bool) -> io::Result<()> {
    if let Some(error) = socket::take_error(fd)? {
        return Err(error);
    }
    // Sending nothing fails where sending something would.
    let sent = if is_target { stream::send_uncounted(fd, &[]) } else { Ok(0) };
    match sent {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}
