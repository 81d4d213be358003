//! SIGPIPE as the threads of a simulation have it: signal(7). It ends a program by default.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use super::running::running;
use super::world::World;

impl World {
    /// Blocks the signal on the thread that runs. Returns whether it was blocked, and whether it was
    /// pending: pthread_sigmask(3), sigpending(2).
    pub(crate) fn block_sigpipe(&mut self) -> (bool, bool) {
        let state = self.sigpipes.entry(running()).or_default();
        let before = *state;
        state.is_blocked = true;
        (before.is_blocked, before.is_pending)
    }

    /// Takes the signal if it is pending: sigtimedwait(2).
    pub(crate) fn take_sigpipe(&mut self) {
        if let Some(state) = self.sigpipes.get_mut(&running()) {
            state.is_pending = false;
        }
    }

    /// Lets the signal through again. One that is pending ends the program.
    pub(crate) fn unblock_sigpipe(&mut self) {
        let state = self.sigpipes.remove(&running());
        if state.is_some_and(|state| state.is_pending) {
            self.die_of_sigpipe();
        }
    }

    /// Raises the signal on the thread that runs.
    pub(super) fn raise_sigpipe(&mut self) {
        match self.sigpipes.get_mut(&running()) {
            Some(state) if state.is_blocked => state.is_pending = true,
            _ => self.die_of_sigpipe(),
        }
    }

    /// Lets the simulation fail by the signal.
    fn die_of_sigpipe(&mut self) {
        let host = self.host();
        self.fail_by(host, format!("{}: SIGPIPE has ended the process", self.name(host)));
    }

    /// Sends as a call does that has no MSG_NOSIGNAL.
    pub(super) fn send_with_signal(
        &mut self,
        fd: RawFd,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let result = self.send(fd, slices);
        if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EPIPE)) {
            self.raise_sigpipe();
        }
        result
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::RefCell;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::rc::Rc;

    use super::super::kernel::{Kernel, enter};
    use super::*;
    use crate::sys::sigpipe::NoSigpipe;
    use crate::sys::stream;

    /// Runs `program` with the end of a pipe that nothing can read from. Returns `true` if the signal
    /// has ended it.
    fn dies(program: impl FnOnce(&Kernel, &OwnedFd)) -> bool {
        let mut world = World::new(1).expect("/dev/null can be opened");
        let host = world.add_host("machine");
        world.set_host(host);
        let ([reader, writer], _) = world.pipe_create(1 << 16).expect("a pipe");
        world.close(reader.as_raw_fd());
        let kernel = Rc::new(RefCell::new(world));
        let _entered = enter(kernel.clone());
        program(&kernel, &writer);
        let fault = kernel.borrow_mut().take_fault();
        fault.is_some_and(|fault| fault.message.contains("SIGPIPE"))
    }

    fn write(kernel: &Kernel, fd: &OwnedFd) -> io::Result<usize> {
        kernel.borrow_mut().pipe_write(fd.as_raw_fd(), b"lost")
    }

    #[test]
    fn a_write_without_a_reader_ends_a_program_that_does_not_block_the_signal() {
        assert!(dies(|kernel, fd| assert!(write(kernel, fd).is_err())));
        assert!(!dies(|_, fd| assert!(stream::write(fd.as_fd(), b"lost").is_err())));
    }

    #[test]
    fn a_signal_that_stays_pending_ends_it_when_it_is_let_through() {
        // What has moved all that was asked for is taken to have raised none.
        let lies = |kernel: &Kernel, fd: &_| {
            let answer = NoSigpipe::new().call(4, || write(kernel, fd).or(Ok(4)));
            assert_eq!(answer.expect("it lies"), 4);
        };
        assert!(dies(lies));
        let is_honest = |kernel: &Kernel, fd: &_| {
            assert!(NoSigpipe::new().call(4, || write(kernel, fd)).is_err());
        };
        assert!(!dies(is_honest));
    }
}
