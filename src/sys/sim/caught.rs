//! Signals: how they reach the programs of hosts that have asked for them.

use std::os::fd::RawFd;

use super::host::Catcher;
use super::id::HostId;
use super::world::World;

/// The signals that do nothing to a program that has not asked for them: signal(7). All others end
/// it.
const HARMLESS: [libc::c_int; 4] = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];

impl World {
    /// Lets a signal to the running host call `note` and ring the eventfd `bell`: sigaction(2).
    pub(crate) fn catch_signal(
        &mut self,
        number: libc::c_int,
        bell: RawFd,
        note: impl Fn() + 'static,
    ) {
        let host = self.host();
        let signals = &mut self.hosts[host].signals;
        signals.asked_for.insert(number);
        signals.catchers.push(Catcher { number, bell, note: Box::new(note) });
    }

    /// Ends what signals to the running host do to an eventfd. They do not end its program for all
    /// that: a handler stays installed.
    pub(crate) fn release_signals(&mut self, bell: RawFd) {
        let host = self.host();
        self.hosts[host].signals.catchers.retain(|catcher| catcher.bell != bell);
    }

    /// Sends a signal to the program of a host: kill(2). If that has not asked for it, and the signal
    /// would end it, the simulation fails.
    pub(crate) fn raise(&mut self, host: HostId, number: libc::c_int) {
        if self.is_down(host) {
            return;
        }
        self.log(host, format_args!("gets signal {number}"));
        let signals = &self.hosts[host].signals;
        if !signals.asked_for.contains(&number) && !HARMLESS.contains(&number) {
            let name = self.name(host);
            let message = format!("{name} is ended by signal {number}, which it has not asked for");
            return self.fail_by(host, message);
        }
        let caught = signals.catchers.iter().filter(|catcher| catcher.number == number);
        let bells: Vec<RawFd> = caught
            .map(|catcher| {
                (catcher.note)();
                catcher.bell
            })
            .collect();
        for bell in bells {
            self.eventfd_ring(bell);
        }
    }
}
