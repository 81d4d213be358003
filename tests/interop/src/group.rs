//! Processes that end with the test that started them, and take with them what they have started.
#![allow(unsafe_code)] // prctl and kill have no safe form.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts `command` in a process group of its own. The kernel kills it when the calling thread ends:
/// a test that is killed leaves nothing behind.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    command.process_group(0);
    // SAFETY: the closure makes one system call, which is safe between fork and exec, and allocates
    // nothing unless that call fails.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn()
}

/// Sends `signal` to every process of the group that `child` began.
pub(crate) fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: kill(2) takes two integers. The child is not yet waited for when it is called, so its
    // group is no other's.
    unsafe {
        libc::kill(-(child.id() as libc::pid_t), signal);
    }
}
