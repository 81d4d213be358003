//! Threads of this process, looked at from others: proc_pid_stat(5).

use std::fs;
use std::str::SplitAsciiWhitespace;
use std::time::Duration;

/// The calling thread's number: gettid(2).
pub(crate) fn id() -> u32 {
    // SAFETY: it has no conditions, and always succeeds.
    let id = unsafe { libc::gettid() };
    id.unsigned_abs()
}

/// What a thread was seen doing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// It has a processor, or waits for one.
    pub(crate) is_runnable: bool,
    /// The processor time that it has used, to a hundredth of a second or so.
    pub(crate) used: Duration,
}

/// Looks at a thread of this process. Returns `None` if it is gone, or the kernel doesn't say.
pub(crate) fn sample(id: u32) -> Option<Sample> {
    let text = stat(&id.to_string())?;
    let mut fields = fields_after_the_name(&text)?;
    let state = fields.next()?;
    // The third is the state; the 14th and 15th are the time used in user mode and in the kernel.
    let mut ticks = fields.skip(10).map_while(|field| field.parse::<u64>().ok());
    let used = ticks.next()? + ticks.next()?;
    Some(Sample {
        is_runnable: state == "R",
        used: Duration::from_millis(used * 1000 / per_second()),
    })
}

/// Returns `true` if a thread of this process, other than the calling one, has a processor, or
/// waits for a processor or for the disk; also if the kernel doesn't say.
pub(crate) fn others_are_active() -> bool {
    let own = id().to_string();
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return true };
    threads.flatten().filter_map(|thread| thread.file_name().into_string().ok()).any(|id| {
        let goes_on = |text: String| {
            let state = fields_after_the_name(&text)?.next()?;
            Some(matches!(state, "R" | "D"))
        };
        // A thread that has ended meanwhile may have let go of something.
        id != own && stat(&id).is_none_or(|text| goes_on(text).unwrap_or(true))
    })
}

fn stat(id: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/task/{id}/stat")).ok()
}

/// The fields from the third on. The second one is the name, in parentheses; it may have some of its
/// own.
fn fields_after_the_name(text: &str) -> Option<SplitAsciiWhitespace<'_>> {
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace())
}

/// Clock ticks a second, as /proc counts them: sysconf(3).
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
            say.send(id()).expect("somebody listens");
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
