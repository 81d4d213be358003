//! Threads of this process: how they are started and joined, and what they are doing.
//!
//! proc_pid_stat(5) is read when something is late: a shutdown that waits for a poller, or a call that a stall
//! watch reports. A thread that computes and one that waits for a lock call for different words.

use std::str::SplitAsciiWhitespace;
use std::time::Duration;
use std::{fs, io};

/// A thread that was started by [`spawn`].
#[derive(Debug)]
pub(crate) enum JoinHandle<T> {
    /// A thread of the process.
    Native(std::thread::JoinHandle<T>),
    /// A thread of the simulation.
    #[cfg(feature = "sim")]
    Simulated(super::sim::JoinHandle<T>),
}

impl<T: Send + 'static> JoinHandle<T> {
    /// Waits for the end of the thread, and returns what its code has returned, or its panic.
    pub(crate) fn join(self) -> std::thread::Result<T> {
        match self {
            JoinHandle::Native(thread) => thread.join(),
            #[cfg(feature = "sim")]
            JoinHandle::Simulated(thread) => thread.join(),
        }
    }

    /// Returns the thread's name.
    pub(crate) fn name(&self) -> String {
        match self {
            JoinHandle::Native(thread) => thread.thread().name().unwrap_or("?").to_owned(),
            #[cfg(feature = "sim")]
            JoinHandle::Simulated(thread) => thread.name(),
        }
    }
}

/// Starts a thread: pthread_create(3).
///
/// # Errors
///
/// Returns the system's error, for instance EAGAIN at RLIMIT_NPROC.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    #[cfg(feature = "sim")]
    if super::sim::current().is_some() {
        return Ok(JoinHandle::Simulated(super::sim::spawn(name, super::sim::Code::Own, body)));
    }
    std::thread::Builder::new().name(name).spawn(body).map(JoinHandle::Native)
}

/// Returns the calling thread's number: gettid(2).
pub(crate) fn id() -> u32 {
    // SAFETY: it has no conditions, and always succeeds.
    let id = unsafe { libc::gettid() };
    id.unsigned_abs()
}

/// What a thread was doing when it was looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// `true` if it ran, or waited for a processor.
    pub(crate) is_runnable: bool,
    /// The processor time that it had used, in steps of about a hundredth of a second.
    pub(crate) used: Duration,
}

/// Returns what a thread of this process is doing, or `None` if it has ended or the kernel does not
/// say.
pub(crate) fn sample(id: u32) -> Option<Sample> {
    simulated!(_kernel => None);
    let text = stat(&id.to_string())?;
    let mut fields = fields_after_the_name(&text)?;
    let state = fields.next()?;
    // proc_pid_stat(5): the state is field 3; fields 14 and 15 are the time used in user mode and
    // in the kernel.
    let mut ticks = fields.skip(10).map_while(|field| field.parse::<u64>().ok());
    let used = ticks.next()? + ticks.next()?;
    Some(Sample {
        is_runnable: state == "R",
        used: Duration::from_millis(used * 1000 / per_second()),
    })
}

/// Returns `true` if a thread of this process other than the calling one runs, or waits for a
/// processor or for the disk; also if the kernel does not say.
pub(crate) fn others_are_active() -> bool {
    // Threads of this process that are no part of the simulation: it would not replay.
    simulated!(_kernel => false);
    let own = id().to_string();
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return true };
    threads.flatten().filter_map(|thread| thread.file_name().into_string().ok()).any(|id| {
        let goes_on = |text: String| {
            let state = fields_after_the_name(&text)?.next()?;
            Some(matches!(state, "R" | "D"))
        };
        // A thread that has ended meanwhile counts: it may have released a lock.
        id != own && stat(&id).is_none_or(|text| goes_on(text).unwrap_or(true))
    })
}

/// Reads the stat file of a thread.
fn stat(id: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/task/{id}/stat")).ok()
}

/// Returns the fields from the third on. The second one is the thread's name in parentheses. A name
/// may contain parentheses, so the last one ends it.
fn fields_after_the_name(text: &str) -> Option<SplitAsciiWhitespace<'_>> {
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace())
}

/// Returns the number of clock ticks in a second, as /proc counts them: sysconf(3).
fn per_second() -> u64 {
    // SAFETY: it has no conditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(0).max(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_is_seen_to_run_and_to_sleep() {
        let (say, said) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("a) R 1 (b".into());
        let thread = thread.spawn(move || {
            say.send(id()).expect("the test listens");
            let _ = released.recv();
        });
        let other = said.recv().expect("it says so first");
        while sample(other).expect("it lives").is_runnable {}
        let here = sample(id()).expect("this one lives");
        assert!(here.is_runnable);
        while sample(id()).expect("this one lives").used < here.used + Duration::from_millis(30) {}
        assert!(sample(other).expect("it lives").used < Duration::from_millis(30));
        drop(release);
        thread.expect("a thread").join().expect("it has ended");
        while sample(other).is_some() {}
    }
}
