//! What a shutdown may end: connections that last longer than its grace, and no others.

use std::fmt::Display;
use std::time::Duration;

use crate::model::Model;

impl Model {
    /// Returns `true` if a reactor has been asked to shut down.
    pub fn has_shutdown(&self) -> bool {
        self.is_shut_down.get() || self.has_ended.get()
    }

    /// Notes that the server knows which connection it serves.
    pub fn serves(&self, id: u32) {
        if let Some(talk) = self.talks.get(id as usize) {
            talk.is_served.set(true);
        }
    }

    /// Notes how a connection has ended early that the shutdown of the server may have cut. One that
    /// the server knew may only be cut when the grace is over.
    pub fn note_cut(&self, id: u32, how: impl Display) {
        let talk = &self.talks[id as usize];
        let overflows = talk.plan.length + 4 > self.plan.timing.budget.output_per_connection;
        let is_excused = talk.excuse.get().is_some()
            || self.plan.resets
            || self.plan.lacks_descriptors
            || self.plan.lacks_watches
            || self.plan.crash.is_some();
        let is_own = talk.plan.service.is_echo() && talk.is_served.get();
        if is_own && !overflows && !is_excused {
            let mut cut = self.cut.borrow_mut();
            cut.get_or_insert_with(|| format!("a shutdown has cut connection {id}: {how}"));
        }
    }

    /// Judges the connections that the shutdown of the server has cut, which has taken `passed`.
    pub fn judge_cuts(&self, passed: Duration) {
        if passed + self.plan.promptness() >= self.plan.grace {
            self.may_cut.set(true);
        }
    }

    /// Checks that a shutdown which was over before its grace has cut nothing.
    ///
    /// # Errors
    ///
    /// Returns what it has cut.
    pub fn check_cuts(&self) -> Result<(), String> {
        match self.cut.borrow_mut().take() {
            Some(cut) if !self.may_cut.get() => {
                Err(format!("{cut}, and was over before its grace"))
            }
            _ => Ok(()),
        }
    }
}
