//! Both directions of a relay.
//!
//! It adds to two pumps what no pump can know: that the failure of one end is the end of both
//! directions, and that an end which neither reads nor writes any more may fail as well.

use std::io;
use std::os::fd::BorrowedFd;

use crate::connection::relay::endpoint::Endpoint;
use crate::connection::relay::pump::Pump;
use crate::connection::relay::step::{Failure, Step};
use crate::local::state::Local;
use crate::parts::readiness::Direction;
use crate::sys::sigpipe::NoSigpipe;
use crate::sys::{socket, stream};

/// The two pumps between two endpoints.
///
/// It ends when both pumps have, or when one of the endpoints has failed. What the failed endpoint
/// had sent before is passed on; nothing more is read from the other one, since nothing can take
/// it.
#[derive(Debug)]
pub(crate) struct Duplex {
    /// From the first endpoint to the second, and back. A pump reads from the endpoint of its own
    /// number.
    pumps: [Pump; 2],
    /// The first failure, until it is taken.
    failure: Option<io::Error>,
    /// Which of the endpoints have failed.
    failed: [bool; 2],
}

impl Duplex {
    /// Makes a relay that has moved nothing yet.
    pub(crate) const fn new() -> Duplex {
        Duplex { pumps: [Pump::new(), Pump::new()], failure: None, failed: [false; 2] }
    }

    /// Moves what can be moved now, in both directions, and returns why each pump doesn't go on.
    pub(crate) fn pump<E: Endpoint>(&mut self, endpoints: [&E; 2], local: &Local) -> [Step; 2] {
        // SIGPIPE is held back once for everything that is moved here.
        let no_sigpipe = NoSigpipe::new();
        let mut steps = [0, 1].map(|from| self.run_pump(from, endpoints, local, &no_sigpipe));
        for (at, endpoint) in endpoints.into_iter().enumerate() {
            if self.pumps.iter().all(Pump::is_finished) {
                // Both directions have ended: a failure from now on is not the relay's.
                break;
            }
            // A pump that waits for its source writes nothing, and would not notice that its target
            // has failed.
            if let Err(error) = endpoint.check_for_failure(!self.pumps[1 - at].is_finished()) {
                self.fail(at, error, local);
            }
        }
        if self.has_failed() {
            steps = [0, 1]
                .map(|from| self.finish_pump(from, endpoints, steps[from], local, &no_sigpipe));
        }
        steps
    }

    /// Runs the pump that reads from the endpoint `from`.
    fn run_pump<E: Endpoint>(
        &mut self,
        from: usize,
        endpoints: [&E; 2],
        local: &Local,
        no_sigpipe: &NoSigpipe,
    ) -> Step {
        match self.pumps[from].pump(endpoints[from], endpoints[1 - from], local, no_sigpipe) {
            Ok(step) => return step,
            Err(Failure::Source(error)) => self.fail(from, error, local),
            Err(Failure::Target(error)) => self.fail(1 - from, error, local),
        }
        Step::Finished
    }

    /// Reads what a failed endpoint has sent before it failed to the last byte, and ends the pump.
    /// It doesn't wait for more to come.
    #[cold]
    fn finish_pump<E: Endpoint>(
        &mut self,
        from: usize,
        endpoints: [&E; 2],
        step: Step,
        local: &Local,
        no_sigpipe: &NoSigpipe,
    ) -> Step {
        let waits_to_read = |step| step == Step::Waiting(Direction::Read);
        if self.pumps[from].is_finished() {
            return Step::Finished;
        }
        if !waits_to_read(step) {
            return step;
        }
        // These bytes came before the failure, though their event may be reported after it.
        endpoints[from].expect_input();
        let step = self.run_pump(from, endpoints, local, no_sigpipe);
        if !waits_to_read(step) {
            return step;
        }
        self.pumps[from].end(local);
        Step::Finished
    }

    /// Notes that the endpoint at `at` has failed, and ends the pump that writes to it.
    #[cold]
    pub(crate) fn fail(&mut self, at: usize, error: io::Error, local: &Local) {
        self.failed[at] = true;
        // The first failure is the cause. What follows, such as EPIPE at the other end, is its
        // consequence.
        self.failure.get_or_insert(error);
        self.pumps[1 - at].end(local);
    }

    /// Returns `true` if one of the endpoints has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed != [false; 2]
    }

    /// Returns `true` if the endpoint at `at` has failed.
    pub(crate) fn has_failed_at(&self, at: usize) -> bool {
        self.failed[at]
    }

    /// Returns `true` if bytes wait for the endpoint at `at` to take them.
    pub(crate) fn holds_bytes_for(&self, at: usize) -> bool {
        self.pumps[1 - at].holds_bytes()
    }

    /// Returns, for each pump, how many bytes have left its source and how many have reached its
    /// target.
    pub(crate) fn counts(&self) -> [(u64, u64); 2] {
        [0, 1].map(|from| self.pumps[from].counts())
    }

    /// Returns how many bytes have reached the target of each pump.
    pub(crate) fn moved(&self) -> [u64; 2] {
        self.counts().map(|(_, arrived)| arrived)
    }

    /// Returns `true` if every byte was spliced, and none copied.
    pub(crate) fn is_spliced(&self) -> bool {
        self.pumps.iter().all(Pump::is_spliced)
    }

    /// Takes the first failure out.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Ends both pumps, and returns what was on its way to the first endpoint and to the second.
    pub(crate) fn stop(&mut self, local: &Local) -> [Vec<u8>; 2] {
        let [there, back] = &mut self.pumps;
        [back.stop(local), there.stop(local)]
    }
}

/// Returns the pending error of a socket (SO_ERROR). If the relay still writes to it (`is_target`),
/// it returns the error of writing as well.
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
