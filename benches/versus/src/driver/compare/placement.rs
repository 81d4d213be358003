//! Which CPUs the server has, and which the load.

use std::process::{Child, Command};
use std::thread;

use crate::args::{Error, failure};
use crate::driver::process;
use crate::sys;

/// The CPUs of both sides. Empty: wherever the kernel puts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) server: Vec<usize>,
    pub(super) load: Vec<usize>,
}

impl Placement {
    /// Gives a server of `threads` loops as many CPUs, and the load others. Where that takes more
    /// than the machine has, both share all of them.
    pub(super) fn new(threads: usize) -> Placement {
        Placement::on(thread::available_parallelism().map_or(1, usize::from), threads)
    }

    fn on(cpus: usize, threads: usize) -> Placement {
        if cpus < 2 * threads {
            return Placement { server: Vec::new(), load: Vec::new() };
        }
        Placement { server: (0..threads).collect(), load: (threads..2 * threads).collect() }
    }

    /// Returns `true` if server and load have CPUs of their own: what the server then waits for a
    /// CPU, another program took from it.
    pub(super) fn is_apart(&self) -> bool {
        !self.server.is_empty()
    }
}

/// Starts a program on some CPUs.
pub(super) fn spawn_on(command: &mut Command, cpus: &[usize]) -> Result<Child, Error> {
    on_cpus(cpus, || process::spawn(command))
}

/// Runs `work` on a thread that has these CPUs, as have the threads and programs that it starts.
pub(super) fn on_cpus<T: Send>(
    cpus: &[usize],
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            if !cpus.is_empty() {
                sys::pin_to_any(cpus)?;
            }
            work()
        });
        pinned.join().map_err(|_| failure("a thread of the driver panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_load_share_no_cpu_where_there_are_enough() {
        assert!(!Placement::on(1, 1).is_apart());
        assert!(!Placement::on(2, 2).is_apart());
        assert_eq!(Placement::on(2, 1), Placement { server: vec![0], load: vec![1] });
        assert_eq!(Placement::on(4, 2), Placement { server: vec![0, 1], load: vec![2, 3] });
    }
}
