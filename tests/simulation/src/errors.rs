//! Calls that the system refuses, and the numbers of the errors that tell so.

use std::error::Error;
use std::io;

use fastrand::Rng;

use crate::model::Model;
use crate::plan::{Plan, ms, one_in, part};

/// Returns the number of the system's error that `error` is or has come from.
pub fn errno(error: &io::Error) -> Option<i32> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if number.is_some() {
            return number;
        }
        next = error.source();
    }
    None
}

impl Plan {
    /// Draws times in which nothing is accepted, and descriptors that epoll does not take.
    pub fn draw_refusals(&mut self, rng: &mut Rng) {
        if one_in(rng, 8) {
            let start = rng.u64(0..=500);
            let time = ms(start)..ms(start + rng.u64(1..=1500));
            self.fails_to_accept = true;
            self.faults = self.faults.clone().refuse_accept(time);
        }
        if one_in(rng, 12) {
            self.lacks_watches = true;
            self.fails_to_accept = true;
            self.faults = self.faults.clone().epoll_error(part(rng, 0.2));
        }
    }

    /// Returns `true` if an error says that there is no descriptor, or that epoll does not take one, and that is
    /// planned.
    pub fn refuses(&self, error: &io::Error) -> bool {
        match errno(error) {
            Some(24) => self.lacks_descriptors,
            Some(12 | 28) => self.lacks_watches,
            _ => false,
        }
    }

    /// Returns `true` if a program may fail with this text, as there is no descriptor for its poller, or epoll does
    /// not take it.
    pub fn may_fail_by(&self, message: &str) -> bool {
        let ends_with = |number: i32| message.contains(&format!("(os error {number})"));
        (self.lacks_descriptors && ends_with(24))
            || (self.lacks_watches && (ends_with(12) || ends_with(28)))
    }
}

impl Model {
    /// Returns `true` if a connection may fail to be made by `error`.
    pub fn may_be_refused(&self, id: u32, error: &io::Error) -> bool {
        let Some(talk) = self.talks.get(id as usize) else { return true };
        let is_sure = talk.excuse.get().is_some() || self.is_shut_down.get();
        // What listens does so whatever goes wrong.
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        is_sure || self.plan.refuses(error) || (!is_refused && self.may_break(id))
    }
}
