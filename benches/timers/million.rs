//! A million timers: the CPU time to arm, to cancel and to fire each of them, and the resident bytes
//! that it takes, for corepoll and for tokio in turn.
//!
//! Each measurement is a process of its own, in which nothing was allocated before, and the least
//! of several counts. Each timer is a future in a box, as tokio's must be.

use std::fs;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{HOUR, again, spread};

/// When the timers fire that are measured firing: so long for each of them, and a little longer. All
/// are armed by then.
const FIRING: Duration = Duration::from_micros(4);

/// How long after that all of them have fired, for each, even where other programs compute.
const FIRED: Duration = Duration::from_micros(2);

const ROWS: [&str; 4] = ["arm", "cancel", "fire", "resident bytes, with the future in its box"];

/// The figures of the rows.
type Figures = [f64; ROWS.len()];

/// Prints the table.
pub(super) fn table(rounds: usize, count: usize) {
    let names = ["corepoll", "tokio"];
    let mut least = names.map(|_| [f64::MAX; ROWS.len()]);
    for _ in 0..rounds {
        for (name, least) in names.iter().zip(&mut least) {
            let output = again(&[], &["million", name, &count.to_string()]).output();
            let text = String::from_utf8(output.expect("this program runs").stdout);
            let text = text.expect("it prints numbers");
            for (least, word) in least.iter_mut().zip(text.split_whitespace()) {
                *least = least.min(word.parse().expect("it prints numbers"));
            }
        }
    }
    println!("\n{:<44}{:>16}{:>16}", "a million timers, CPU ns for each", names[0], names[1]);
    for (row, name) in ROWS.iter().enumerate() {
        println!("{name:<44}{:>16.1}{:>16.1}", least[0][row], least[1][row]);
    }
}

/// Measures one library in this process, and prints its figures.
pub(super) fn run(name: &str, count: usize) {
    let figures = match name {
        "corepoll" => corepoll::block_on(measure(corepoll::time::sleep_until, count)),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let future = measure(|deadline| tokio::time::sleep_until(deadline.into()), count);
            let set = tokio::task::LocalSet::new();
            // A task: the future of `block_on` has a waker that costs more.
            let task = set.spawn_local(future);
            set.block_on(&runtime.expect("a runtime"), task).expect("it ends")
        }
    };
    println!("{}", figures.map(|figure| figure.to_string()).join(" "));
}

async fn measure<S: Future<Output = ()>>(
    sleep_until: impl Fn(Instant) -> S,
    count: usize,
) -> Figures {
    let (start, mut timers) = (Instant::now(), Vec::with_capacity(count));
    let resident = resident_bytes();
    let began = cpu_ns();
    arm_all(&mut timers, |n| sleep_until(start + HOUR + spread(n)), count).await;
    let armed = cpu_ns();
    // The pages of the vector have become resident as well.
    let bytes = resident_bytes() - resident - (count * size_of::<usize>()) as f64;
    timers.clear();
    let cancelled = cpu_ns();
    let firing = Instant::now() + FIRING * count as u32 + Duration::from_millis(200);
    // All are due within a hundredth of a second.
    arm_all(&mut timers, |n| sleep_until(firing + spread(n) / 100), count).await;
    // Much later: a sleep is ready at its time, even if timers before it have not fired yet.
    let last = sleep_until(firing + FIRED * count as u32 + Duration::from_millis(20));
    let waiting = cpu_ns();
    last.await;
    let fired = cpu_ns();
    let each = |nanoseconds: f64| nanoseconds / count as f64;
    [each(armed - began), each(cancelled - armed), each(fired - waiting), each(bytes)]
}

/// Fills `timers` with armed ones, of which `make` makes the `n`-th.
async fn arm_all<S: Future<Output = ()>>(
    timers: &mut Vec<Pin<Box<S>>>,
    make: impl Fn(u64) -> S,
    count: usize,
) {
    timers.clear();
    poll_fn(|cx| {
        for n in 0..count as u64 {
            let mut timer = Box::pin(make(n));
            assert!(timer.as_mut().poll(cx).is_pending());
            timers.push(timer);
        }
        Poll::Ready(())
    })
    .await;
}

/// Returns the nanoseconds that this thread has run.
fn cpu_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(unsafe_code)]
    // SAFETY: `time` is one valid timespec.
    unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time)
    };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Returns the resident bytes of this process.
fn resident_bytes() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let resident = pages.split(' ').nth(1).expect("the second number is the resident set");
    resident.parse::<f64>().expect("a number") * 4096.0
}
