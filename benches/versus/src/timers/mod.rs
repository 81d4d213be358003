//! The program that arms many timers at once, cancels them, and lets others fire: by one library.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use ::tokio::sync::Notify;
use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::load::say;
use crate::sys;

#[cfg(feature = "corepoll")]
mod corepoll;
#[cfg(feature = "smol")]
mod smol;
mod tokio;

const HELP: &str = "\
timers --library LIBRARY [options]
  --library NAME    corepoll-handler | corepoll-task | tokio | smol, as far as this build has them
  --timers N        default 1000000
  --cpu N           keep the process on one CPU
Prints CPU nanoseconds for each timer to arm, to cancel and to fire, and its resident bytes.";

/// The libraries that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// corepoll's `EvContext::set_timer`.
    #[cfg(feature = "corepoll")]
    CorepollHandler,
    /// corepoll's `sleep_until`.
    #[cfg(feature = "corepoll")]
    CorepollTask,
    /// tokio's `sleep_until`.
    Tokio,
    /// smol's `Timer`.
    #[cfg(feature = "smol")]
    Smol,
}

impl Library {
    /// All that this build has; the first is what the others are held against.
    pub const ALL: &[Library] = &[
        #[cfg(feature = "corepoll")]
        Library::CorepollHandler,
        #[cfg(feature = "corepoll")]
        Library::CorepollTask,
        Library::Tokio,
        #[cfg(feature = "smol")]
        Library::Smol,
    ];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "corepoll")]
            Library::CorepollHandler => "corepoll-handler",
            #[cfg(feature = "corepoll")]
            Library::CorepollTask => "corepoll-task",
            Library::Tokio => "tokio",
            #[cfg(feature = "smol")]
            Library::Smol => "smol",
        }
    }
}

impl FromStr for Library {
    type Err = Error;

    fn from_str(name: &str) -> Result<Library, Error> {
        let found = Library::ALL.iter().copied().find(|library| library.name() == name);
        found.ok_or_else(|| failure(format!("no timers of {name:?} in this build")))
    }
}

/// What a timer takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// CPU nanoseconds to arm one.
    pub arm: f64,
    /// CPU nanoseconds to cancel one.
    pub cancel: f64,
    /// CPU nanoseconds from its deadline to the end of the task, or of the callback, that it wakes.
    pub fire: f64,
    /// Resident bytes of one that is armed.
    pub bytes: f64,
}

impl FromStr for Figures {
    type Err = Error;

    fn from_str(line: &str) -> Result<Figures, Error> {
        let numbers = line.split_whitespace().skip(1).step_by(2).map(str::parse);
        match numbers.collect::<Result<Vec<f64>, _>>()?[..] {
            [arm, cancel, fire, bytes] => Ok(Figures { arm, cancel, fire, bytes }),
            _ => Err(failure(format!("no figures of timers: {line:?}"))),
        }
    }
}

/// Measures by the arguments of a command line.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let (mut library, mut count) = (None::<Library>, 1_000_000);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("library") => library = Some(parser.value()?.parse()?),
            Long("timers") => count = parser.value()?.parse()?,
            Long("cpu") => sys::pin_to(parser.value()?.parse()?)?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let library = library.ok_or_else(|| failure("--library is missing; see --help"))?;
    if count == 0 {
        return Err(failure("--timers must be at least 1"));
    }
    let Figures { arm, cancel, fire, bytes } = measure(library, count)?;
    Ok(say(&format!("arm {arm:.2} cancel {cancel:.2} fire {fire:.2} bytes {bytes:.2}"))?)
}

fn measure(library: Library, count: usize) -> io::Result<Figures> {
    match library {
        #[cfg(feature = "corepoll")]
        Library::CorepollHandler => corepoll::measure_handler(count),
        #[cfg(feature = "corepoll")]
        Library::CorepollTask => corepoll::measure_tasks(count),
        Library::Tokio => tokio::measure(count),
        #[cfg(feature = "smol")]
        Library::Smol => smol::measure(count),
    }
}

/// How long until the first timer of those that are to fire: all must be armed by then. The second is
/// for a machine on which the first was too short.
const FIRST_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(8)];

/// The time over which the deadlines of those that are to fire are spread.
const FIRING: Duration = Duration::from_millis(100);

/// The deadline of one of many, not in order, about an hour away.
fn deadline(start: Instant, number: usize) -> Instant {
    start + Duration::from_secs(3600) + Duration::from_micros(scattered(number, 1_000_003))
}

/// The deadline of one of many that are to fire soon, not in order.
fn soon(first: Instant, number: usize) -> Instant {
    first + Duration::from_nanos(scattered(number, FIRING.as_nanos() as u64))
}

fn scattered(number: usize, below: u64) -> u64 {
    number as u64 * 7919 % below
}

/// CPU time of this process for `work`, in nanoseconds for each of `count`.
fn cpu_of<T>(count: usize, work: impl FnOnce() -> T) -> io::Result<(T, f64)> {
    let before = sys::cpu_time()?;
    let result = work();
    Ok((result, (sys::cpu_time()? - before).as_nanos() as f64 / count as f64))
}

/// Arms futures that are timers, and drops them. Returns the times of both, and the resident bytes.
fn arm_and_drop<S: Future + Unpin>(
    count: usize,
    make: impl Fn(Instant) -> S,
) -> io::Result<(f64, f64, f64)> {
    let start = Instant::now();
    let before = sys::resident_bytes("self")?;
    let mut timers: Vec<S> = (0..count).map(|number| make(deadline(start, number))).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let arm_all = || timers.iter_mut().all(|timer| Pin::new(timer).poll(&mut cx).is_pending());
    let (pending, arm) = cpu_of(count, arm_all)?;
    let bytes = (sys::resident_bytes("self")? as f64 - before as f64) / count as f64;
    if !pending {
        return Err(io::Error::other("a timer of an hour has fired"));
    }
    let ((), cancel) = cpu_of(count, || timers.clear())?;
    Ok((arm, cancel, bytes))
}

/// What the tasks that wait for their timers have in common.
#[derive(Debug)]
struct Tasks {
    unarmed: AtomicUsize,
    armed: Notify,
    waiting: AtomicUsize,
    ended: Notify,
}

impl Tasks {
    fn new(count: usize) -> Tasks {
        Tasks {
            unarmed: AtomicUsize::new(count),
            armed: Notify::new(),
            waiting: AtomicUsize::new(count),
            ended: Notify::new(),
        }
    }

    /// What a task does: all of them run on one thread, so that the last timer is armed before
    /// another task hears of it.
    async fn wait_for(&self, timer: impl Future) {
        if self.unarmed.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.armed.notify_one();
        }
        timer.await;
        if self.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.ended.notify_one();
        }
    }

    /// CPU time of this process from when all are armed until all have ended, in nanoseconds for
    /// each. None: the first was due before the last was armed.
    async fn fire(&self, count: usize, first: Instant) -> io::Result<Option<f64>> {
        self.armed.notified().await;
        let before = sys::cpu_time()?;
        let in_time = Instant::now() < first;
        self.ended.notified().await;
        let each = (sys::cpu_time()? - before).as_nanos() as f64 / count as f64;
        Ok(in_time.then_some(each))
    }
}

/// The error of a machine on which arming took too long.
fn too_slow() -> io::Error {
    io::Error::other("the first timers were due before the last were armed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_library_arms_cancels_and_fires_its_timers() {
        for &library in Library::ALL {
            let Figures { arm, cancel, fire, .. } = measure(library, 1000).unwrap();
            assert!(arm > 0.0 && cancel > 0.0 && fire > 0.0, "{}", library.name());
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let figures: Figures = "arm 1.50 cancel 2.00 fire 3.00 bytes 64.00".parse().unwrap();
        assert_eq!(figures, Figures { arm: 1.5, cancel: 2.0, fire: 3.0, bytes: 64.0 });
        "arm 1".parse::<Figures>().unwrap_err();
    }
}
