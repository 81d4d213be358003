//! What does a timer cost? Nanoseconds and instructions to arm, postpone and cancel one among many
//! others, and time and memory of a million of them, beside tokio's.
//!
//! ```sh
//! cargo bench --bench timers
//! ```
//!
//! Instructions are counted by valgrind, and left out where it is not installed. Readings of the
//! clock weigh little there: valgrind makes a system call of each, whose instructions don't count.
//!
//! Absolute times say little on a shared machine: compare the rows, which are measured in turn.

mod among;
mod instructions;
mod million;

use std::env;
use std::process::Command;
use std::time::Duration;

/// A limit that is not reached.
const HOUR: Duration = Duration::from_secs(3600);

/// How many other timers are armed while one is measured.
const OTHERS: u64 = 100_000;

/// Spreads deadlines over a second, in no order.
fn spread(n: u64) -> Duration {
    Duration::from_micros(n * 7919 % 1_000_003)
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // A process of its own for each: see `again`.
        ["count", name, rounds] => instructions::run(name, number(rounds) as u64),
        ["million", name, count] => million::run(name, number(count)),
        // `cargo bench -- --test` asks whether it runs.
        _ if arguments.contains(&"--test") => {
            among::table(2);
            million::table(1, 1000);
            instructions::ROWS.iter().for_each(|row| instructions::run(row.name, 1000));
        }
        _ => {
            among::table(200);
            million::table(3, 1_000_000);
            instructions::table();
        }
    }
}

/// The command that runs this program again, for one measurement. `under` is put before it.
fn again(under: &[&str], arguments: &[&str]) -> Command {
    let program = env::current_exe().expect("this program has a path");
    let program = program.to_str().expect("the path is UTF-8");
    let words: Vec<&str> = under.iter().chain([&program]).chain(arguments).copied().collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}
