//! The same calls, made of the simulated kernel and of Linux: their answers and their events must
//! be the same. What differs is a fault of the simulator.
//!
//! A program is a list of calls that chance has chosen. It writes so little that no buffer is ever
//! full, since how much fits depends on Linux's accounts. Each file beside this one has programs of
//! its own. With `COREPOLL_SEEDS=10000` in the environment, so many of each are tried.

mod pipes;
mod tcp;
mod udp;
mod unix_datagrams;
mod unix_streams;
mod urgent;

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::kernel::enter;
use super::world::World;
use crate::sys::epoll::{Epoll, Events};

/// How long Linux may take for what the simulated kernel does at once: on a busy machine the
/// loopback interface delivers later.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often Linux is asked, until one of its runs has the simulator's answers.
const RUNS: usize = 5;

/// The masks that registrations ask for.
const MASKS: [u32; 10] = [
    libc::EPOLLIN as u32,
    libc::EPOLLOUT as u32,
    (libc::EPOLLIN | libc::EPOLLRDHUP) as u32,
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLPRI | libc::EPOLLRDHUP | libc::EPOLLET) as u32,
    (libc::EPOLLIN | libc::EPOLLET) as u32,
    libc::EPOLLET as u32,
    (libc::EPOLLIN | libc::EPOLLONESHOT) as u32,
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET | libc::EPOLLONESHOT) as u32,
    libc::EPOLLPRI as u32,
    (libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLET) as u32,
];

/// What a program works with, on either kernel.
trait Machine: Sized {
    /// A call of a program.
    type Call: Copy + Debug;

    /// Makes what a program begins with.
    fn new() -> io::Result<Self>;

    /// Makes a call, and returns what it has answered.
    fn make(&mut self, call: Self::Call) -> String;

    /// Returns `true` if a call changes nothing, whatever it answers. None does where the kernel does
    /// all at once, so that no answer is early.
    fn is_look(_: Self::Call) -> bool {
        false
    }
}

/// Shows an answer without what differs between two runs.
fn show<T: Debug>(answer: io::Result<T>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error {:?}", error.raw_os_error()),
    }
}

/// Takes at most so many events, and shows them.
fn take_events(epoll: &Epoll, most: usize) -> String {
    let mut events = Events::with_capacity(most);
    let count = epoll.wait(&mut events, Some(Duration::ZERO)).expect("the wait succeeds");
    let mut said = String::new();
    for event in events.first(count) {
        let _ = write!(said, "{}:{:?} ", event.token().to_bits(), event.event());
    }
    said
}

/// Returns the answers of the simulated kernel.
fn simulated<M: Machine>(calls: &[M::Call]) -> Vec<String> {
    let mut world = World::new(1).expect("/dev/null can be opened");
    let host = world.add_host("machine");
    world.set_host(host);
    let _entered = enter(Rc::new(RefCell::new(world)));
    let mut machine = M::new().expect("the simulated kernel has all that a program needs");
    calls.iter().map(|call| machine.make(*call)).collect()
}

/// Makes the calls of Linux, and returns the first that answers something else than `expected`.
fn difference<M: Machine>(calls: &[M::Call], expected: &[String]) -> Option<(usize, String)> {
    let mut machine = M::new().expect("Linux has all that a program needs");
    for (number, (call, expected)) in calls.iter().zip(expected).enumerate() {
        let begun = Instant::now();
        let mut said = machine.make(*call);
        // A call that has changed nothing may be early.
        let is_early =
            |said: &str| said.is_empty() || said == "error Some(11)" || M::is_look(*call);
        while said != *expected && is_early(&said) && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
            said = machine.make(*call);
        }
        if said != *expected {
            return Some((number, said));
        }
    }
    None
}

/// Tries the programs of `count` seeds, and fails at the first whose answers differ.
fn compare<M: Machine>(count: u64, program: fn(u64) -> Vec<M::Call>) {
    let asked = std::env::var("COREPOLL_SEEDS").ok().and_then(|count| count.parse().ok());
    for seed in 0..asked.unwrap_or(count) {
        let calls = program(seed);
        let expected = simulated::<M>(&calls);
        // Linux delivers later than at once when the machine is busy, and a read then finds less. A
        // fault of the simulator differs each time.
        let differences = (0..RUNS).map(|_| difference::<M>(&calls, &expected));
        let all: Option<Vec<_>> = differences.collect();
        if let Some((number, said)) = all.and_then(|mut all| all.pop()) {
            let mut text = format!("seed {seed}, Linux answers {said:?}\n");
            for (call, answer) in calls.iter().zip(&expected).take(number + 1) {
                let _ = writeln!(text, "  {call:?}: {answer:.60}");
            }
            panic!("{text}");
        }
    }
}
