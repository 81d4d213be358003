//! Threads on processors: see sched_setaffinity(2).

use std::io;
use std::sync::OnceLock;

/// The most processors that a mask of libc's names.
const MOST: usize = libc::CPU_SETSIZE as usize;

/// Where threads might run before one of them was pinned. Who is spawned by a pinned thread inherits
/// its mask.
static UNPINNED: OnceLock<libc::cpu_set_t> = OnceLock::new();

/// The processors that this thread may run on, in ascending order.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = mask()?;
    // SAFETY: the indices stay below CPU_SETSIZE.
    Ok((0..MOST).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

fn mask() -> io::Result<libc::cpu_set_t> {
    // SAFETY: all zeros is an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable for its size; 0 names the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(set)
}

fn set_mask(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: `set` is readable for its size; 0 names the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of_val(set), set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
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
    if let Ok(before) = mask() {
        UNPINNED.get_or_init(|| before);
    }
    set_mask(&set)
}

/// Lets the calling thread run wherever threads might before one was pinned: what a thread that is
/// not a poller's, but was spawned by one, has to ask for.
#[cfg(feature = "blocking")]
pub(crate) fn unpin() {
    if let Some(set) = UNPINNED.get() {
        // At worst it stays where it is.
        let _ = set_mask(set);
    }
}
