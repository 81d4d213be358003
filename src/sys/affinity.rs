//! Which processors a thread runs on: sched_setaffinity(2).

use std::io;
use std::sync::OnceLock;

use super::syscall::libc_answer;

/// The number of processors that libc's mask has room for.
const MOST: usize = libc::CPU_SETSIZE as usize;

/// The mask of the first thread that was pinned, from before that. A thread inherits the mask of
/// the thread that spawns it, so without this one a pool's thread would share its poller's
/// processor.
static UNPINNED: OnceLock<libc::cpu_set_t> = OnceLock::new();

/// Returns the processors that this thread may run on, in ascending order.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    // The mask and not the machine's count: a container or taskset(1) may allow fewer.
    let set = mask()?;
    // SAFETY: the indices stay below CPU_SETSIZE.
    Ok((0..MOST).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Reads the affinity mask of the calling thread.
fn mask() -> io::Result<libc::cpu_set_t> {
    // SAFETY: all zeros is an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable for its size; 0 names the calling thread.
    libc_answer(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) })?;
    Ok(set)
}

/// Sets the affinity mask of the calling thread.
fn set_mask(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: `set` is readable for its size; 0 names the calling thread.
    libc_answer(unsafe { libc::sched_setaffinity(0, size_of_val(set), set) }).map(drop)
}

/// Restricts the calling thread to processor `cpu`.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= MOST {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all zeros is an empty cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // Only the first call's mask counts: a thread that a pinned one has spawned is pinned already.
    if let Ok(before) = mask() {
        UNPINNED.get_or_init(|| before);
    }
    set_mask(&set)
}

/// Gives the calling thread the mask that threads had before the first one was pinned.
///
/// Threads of the blocking pool call this: they are spawned by pollers, but do not belong to one
/// processor.
#[cfg(feature = "blocking")]
pub(crate) fn unpin() {
    if let Some(set) = UNPINNED.get() {
        // If it fails, the thread stays where it is, which is slower and not wrong.
        let _ = set_mask(set);
    }
}
