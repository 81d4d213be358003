//! The instructions of a timer that is armed for each request and dropped again, as limits are, and
//! of one that is cancelled.
//!
//! Callgrind counts a whole process, so each row is the difference of two processes that arm few
//! and many timers. Readings of the clock weigh little: valgrind makes a system call of each, whose
//! instructions are not counted.

use std::env;
use std::fs;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use corepoll::time::{Sleep, now, sleep, sleep_until};

use super::{HOUR, OTHERS, again, spread};

/// What is counted.
pub(super) struct Row {
    /// By what name this program is asked to do it.
    pub(super) name: &'static str,
    /// What the table says.
    what: &'static str,
    /// How many other timers are armed.
    others: u64,
    /// Arms so many timers, and drops them.
    work: fn(&mut Context<'_>, u64),
    /// The only function that is counted, if not all of them are.
    function: Option<&'static str>,
}

impl Row {
    const fn new(name: &'static str, what: &'static str, work: fn(&mut Context<'_>, u64)) -> Row {
        Row { name, what, others: 0, work, function: None }
    }
}

pub(super) const ROWS: [Row; 5] = [
    Row::new("plain", "sleep, polled and dropped", plain),
    Row { others: OTHERS, ..Row::new("among", "the same among 100,000 others", plain) },
    Row::new("boxed", "boxed, until an Instant, as hyper does", boxed),
    Row {
        others: OTHERS,
        function: Some("*arm_all*"),
        ..Row::new("arm", "arm, among 100,000 others", batches)
    },
    Row {
        others: OTHERS,
        function: Some("*drop_all*"),
        ..Row::new("cancel", "cancel, among 100,000 others", batches)
    },
];

fn plain(cx: &mut Context<'_>, count: u64) {
    for _ in 0..count {
        let mut limit = pin!(sleep(black_box(HOUR)));
        assert!(limit.as_mut().poll(cx).is_pending());
    }
}

fn boxed(cx: &mut Context<'_>, count: u64) {
    for _ in 0..count {
        let deadline = now() + black_box(HOUR);
        let mut limit: Pin<Box<dyn Future<Output = ()>>> = Box::pin(sleep_until(deadline));
        assert!(black_box(&mut limit).as_mut().poll(cx).is_pending());
    }
}

/// How many timers are armed before they are dropped.
const BATCH: u64 = 1000;

fn batches(cx: &mut Context<'_>, count: u64) {
    let mut batch = Vec::with_capacity(BATCH as usize);
    for _ in 0..count / BATCH {
        batch.extend((0..BATCH).map(|n| sleep(HOUR + Duration::from_nanos(n))));
        arm_all(cx, &mut batch);
        drop_all(&mut batch);
    }
}

#[inline(never)]
fn arm_all(cx: &mut Context<'_>, batch: &mut [Sleep]) {
    batch.iter_mut().for_each(|sleep| assert!(Pin::new(sleep).poll(cx).is_pending()));
}

#[inline(never)]
fn drop_all(batch: &mut Vec<Sleep>) {
    batch.clear();
}

/// Does the work of a row in this process.
pub(super) fn run(name: &str, count: u64) {
    let row = ROWS.iter().find(|row| row.name == name).expect("a row of the table");
    corepoll::block_on(poll_fn(|cx| {
        let mut others: Vec<Sleep> = (0..row.others).map(|n| sleep(HOUR + spread(n))).collect();
        arm_all(cx, &mut others);
        (row.work)(cx, count);
        Poll::Ready(())
    }));
}

/// Prints the table.
pub(super) fn table() {
    println!("\n{:<44}{:>16}", "user instructions for each timer", "corepoll");
    for row in ROWS {
        match (count(&row, 10_000), count(&row, 60_000)) {
            (Some(few), Some(many)) => {
                println!("{:<44}{:>16.1}", row.what, (many - few) / 50_000.0);
            }
            _ => println!("{:<44}{:>16}", row.what, "no valgrind"),
        }
    }
}

/// Returns the instructions of a process that does the work of `row` so many times.
fn count(row: &Row, count: u64) -> Option<f64> {
    let file = env::temp_dir().join(format!("timers-{}.callgrind", std::process::id()));
    let mut words = vec!["valgrind".to_owned(), "-q".to_owned(), "--tool=callgrind".to_owned()];
    words.push(format!("--callgrind-out-file={}", file.display()));
    words.extend(row.function.map(|function| format!("--toggle-collect={function}")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let status = again(&words, &["count", row.name, &count.to_string()]).status().ok()?;
    let profile = fs::read_to_string(&file).ok().filter(|_| status.success())?;
    fs::remove_file(&file).ok()?;
    let total = |line: &str| line.strip_prefix("totals: ").map(str::to_owned);
    profile.lines().rev().find_map(total)?.trim().parse().ok()
}
