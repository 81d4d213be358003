//! Threads on processors: see sched_setaffinity(2).

use std::io;

/// The most processors that a mask of libc's names.
const MOST: usize = libc::CPU_SETSIZE as usize;

/// The processors that this thread may run on, in ascending order.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: all zeros is an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable for its size; 0 names the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the indices stay below CPU_SETSIZE.
    Ok((0..MOST).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Keeps the calling thread on processor `cpu`.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= MOST {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all zeros is an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is readable for its size; 0 names the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
