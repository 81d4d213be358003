//! How the pool gets more connections.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::base::error;
use crate::local::attempt::{Recipient, Target};
use crate::local::errors::gone;
use crate::local::state::Local;
use crate::net::connect::target::begin;
use crate::net::tcp::stream::TcpStream;

use super::shared::{Handoff, Shared};

impl Shared {
    /// Begins as many attempts as are missing, unless it is paused.
    pub(crate) fn grow(self: &Rc<Self>) {
        if !self.is_short() {
            return;
        }
        let Some(poller) = self.poller() else { return };
        if poller.is_gone() {
            return self.fail_all(&gone());
        }
        if let Some(until) = self.backoff.pause_ends() {
            return self.arm(&poller, until);
        }
        while self.is_short() {
            let room = self.settings.max_live - self.live.get();
            for _ in 0..self.settings.grow_by.min(room) {
                // The address is invalid: each request has been told so.
                let Ok(target) = self.target() else { return };
                self.begin(&poller, target);
            }
        }
    }

    /// Whether connections are missing that may be made.
    fn is_short(&self) -> bool {
        if self.live.get() >= self.settings.max_live {
            return false;
        }
        let (waiting, connecting) = (self.waiting(), self.connecting.get());
        if connecting != waiting || self.handles.get() == 0 {
            // More than are waiting: a step is under way.
            return connecting < waiting;
        }
        self.idle() < self.settings.min_idle
    }

    fn begin(self: &Rc<Self>, poller: &Local, target: Target) {
        self.live.set(self.live.get() + 1);
        self.connecting.set(self.connecting.get() + 1);
        let (pool, round) = (self.clone(), self.backoff.round());
        let receive = move |result| pool.attempt_ended(round, result);
        begin(poller, target, Recipient::Descriptor(Box::new(receive)));
    }

    fn attempt_ended(self: &Rc<Self>, round: u64, result: io::Result<OwnedFd>) {
        self.connecting.set(self.connecting.get() - 1);
        match result.and_then(|fd| TcpStream::from_fd(fd, "ConnectPool")) {
            Ok(stream) => {
                self.backoff.end();
                self.offer(Handoff { stream, is_reused: false });
            }
            Err(error) => {
                self.live.set(self.live.get() - 1);
                self.backoff.begin(round);
                self.fail_waiters(&error);
            }
        }
        self.grow();
    }

    /// Tells those whose attempt has failed, or who have nothing left to wait for.
    fn fail_waiters(self: &Rc<Self>, error: &io::Error) {
        if self.waiting() > self.connecting.get() {
            drop(self.serve(Err(error::copy(error))));
        }
        if self.live.get() == 0 {
            self.fail_all(error);
        }
    }

    /// Those who come while these are told wait for the next attempt.
    fn fail_all(self: &Rc<Self>, error: &io::Error) {
        for _ in 0..self.waiting() {
            drop(self.serve(Err(error::copy(error))));
        }
    }
}
