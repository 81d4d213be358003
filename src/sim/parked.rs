//! What is thread-local of the simulated threads.

use std::rc::Rc;

use crate::local::state::Local;
use crate::sys::traffic;
use crate::task::CurrentExecutor;

/// What is thread-local of a simulated thread while it does not run.
pub(super) struct Parked {
    /// Its poller.
    local: Option<Rc<Local>>,
    /// Its executor.
    executor: CurrentExecutor,
    /// What its system calls have moved.
    traffic: traffic::Traffic,
}

impl Parked {
    /// Returns what a thread begins with.
    pub(super) fn none() -> Parked {
        let executor = CurrentExecutor::none();
        Parked { local: None, executor, traffic: traffic::Traffic::default() }
    }

    /// Forgets what a thread had that does not run any more: its destructors must not.
    pub(super) fn forget(mut self) {
        std::mem::forget(self.local.take());
    }

    /// Exchanges what is parked here with what is thread-local.
    pub(super) fn exchange(&mut self) {
        self.local = Local::set_current(self.local.take());
        self.executor.exchange();
        self.traffic = traffic::exchange(self.traffic);
    }
}
