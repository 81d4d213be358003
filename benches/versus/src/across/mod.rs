//! The program that lets two threads take turns: how long does a round trip take between two event
//! loops that are busy, and between two threads with a word each?

use std::future::poll_fn;
use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use lexopt::prelude::*;

use crate::args::{Error, failure};
use crate::load::say;

#[cfg(feature = "corepoll")]
mod corepoll;
mod tokio;
mod words;

const HELP: &str = "\
across --between PAIR [options]
  --between NAME    words | corepoll | tokio
  --rounds N        default 100000
Prints nanoseconds for each round trip.";

/// What the round trips are between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Two threads that wait for a word of memory each: the limit of the machine.
    Words,
    /// Tasks of two pollers.
    #[cfg(feature = "corepoll")]
    Corepoll,
    /// Tasks of two current-thread runtimes.
    Tokio,
}

impl Pair {
    /// All that this build has; the first is what the others are held against.
    pub const ALL: &[Pair] = &[
        Pair::Words,
        #[cfg(feature = "corepoll")]
        Pair::Corepoll,
        Pair::Tokio,
    ];

    /// The name by which command lines and tables know it.
    pub fn name(self) -> &'static str {
        match self {
            Pair::Words => "words",
            #[cfg(feature = "corepoll")]
            Pair::Corepoll => "corepoll",
            Pair::Tokio => "tokio",
        }
    }
}

impl FromStr for Pair {
    type Err = Error;

    fn from_str(name: &str) -> Result<Pair, Error> {
        let found = Pair::ALL.iter().copied().find(|pair| pair.name() == name);
        found.ok_or_else(|| failure(format!("no pair {name:?} in this build")))
    }
}

/// Measures by the arguments of a command line.
pub fn main(mut parser: lexopt::Parser) -> Result<(), Error> {
    let (mut pair, mut rounds) = (None::<Pair>, 100_000);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("between") => pair = Some(parser.value()?.parse()?),
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let pair = pair.ok_or_else(|| failure("--between is missing; see --help"))?;
    if rounds == 0 {
        return Err(failure("--rounds must be at least 1"));
    }
    let took = round_trips(pair, rounds)?;
    Ok(say(&format!("{:.2}", took.as_nanos() as f64 / rounds as f64))?)
}

fn round_trips(pair: Pair, rounds: u64) -> io::Result<Duration> {
    match pair {
        Pair::Words => Ok(words::round_trips(rounds)),
        #[cfg(feature = "corepoll")]
        Pair::Corepoll => corepoll::round_trips(rounds),
        Pair::Tokio => tokio::round_trips(rounds),
    }
}

/// A ball that goes to and fro between two tasks.
#[derive(Debug, Default)]
struct Court {
    /// How often it has been hit; whose turn it is follows from that.
    hits: AtomicU64,
    /// A task keeps its waker, so each comes here once, and to look for it takes no lock.
    players: [OnceLock<Waker>; 2],
}

/// One of the two tasks: waits for its turns, and wakes the other one.
async fn play(court: Arc<Court>, me: usize, rounds: u64) {
    for round in 0..rounds {
        poll_fn(|cx| {
            let due = round * 2 + me as u64;
            court.players[me].get_or_init(|| cx.waker().clone());
            if court.hits.load(Ordering::SeqCst) != due {
                return Poll::Pending;
            }
            court.hits.store(due + 1, Ordering::SeqCst);
            // A side that is not waiting yet reads the value when it comes.
            if let Some(other) = court.players[1 - me].get() {
                other.wake_by_ref();
            }
            Poll::Ready(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_plays_all_rounds() {
        for &pair in Pair::ALL {
            assert!(round_trips(pair, 100).unwrap() > Duration::ZERO, "{}", pair.name());
        }
    }
}
