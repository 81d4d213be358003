//! Whole programs on a simulated kernel, replayed from a seed, with the feature `sim`.
//!
//! Inside of a [`Simulation`] the crate calls a simulated kernel instead of Linux. Everything above
//! is what runs in production: pollers, handlers, tasks, streams, timers, and the crates that stand
//! on them. All hosts share one thread, and a scheduler chooses which of them runs next. What it
//! chooses, when packets arrive and what goes wrong all follow from the seed. So the same seed gives
//! the same run, step by step, and a failure that a test has found once can be found again.
//!
//! ```
//! use corepoll::net::{TcpListener, TcpStream};
//! use corepoll::sim::{Faults, Simulation};
//! use futures::{AsyncReadExt, AsyncWriteExt};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), corepoll::sim::Failure> {
//! let mut sim = Simulation::new(7);
//! sim.host("server", || async {
//!     let listener = TcpListener::bind("0.0.0.0:80").await?;
//!     loop {
//!         let (stream, _peer) = listener.accept().await?;
//!         corepoll::spawn_local(async move { futures::io::copy(&stream, &mut &stream).await });
//!     }
//! });
//! sim.client("client", async {
//!     let mut stream = TcpStream::connect("server:80").await?;
//!     stream.write_all(b"hello").await?;
//!     let mut answer = [0; 5];
//!     stream.read_exact(&mut answer).await?;
//!     assert_eq!(&answer, b"hello");
//!     Ok(())
//! });
//! let ms = Duration::from_millis;
//! sim.faults(Faults::default().latency(ms(1)..ms(50)).drop(0.01));
//! sim.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! The guide is [`docs::testing_by_simulation`](crate::docs::testing_by_simulation): how a server is
//! tested, what a failure is, how it is replayed and shrunk, and what is not simulated.
//!
//! A program has the threads of its reactors, and those of
//! [`spawn_blocking`](crate::blocking::spawn_blocking), which may block in calls of this crate. A
//! thread of [`std::thread`] is no part of the simulation, nor is a descriptor that std has made: it
//! cannot be registered.
//!
//! | to | use |
//! |---|---|
//! | add hosts and clients, and run them | [`Simulation`] |
//! | say what goes wrong, by chance or at a given time | [`Faults`] |
//! | crash hosts and cut links at a moment that the test chooses | [`Control`], [`control`](control()) |
//! | say what must hold after each step | [`Simulation::check`], [`Snapshot`] |
//! | try many seeds, and shrink what fails | [`search`](search()), [`Found`] |
//! | see what has happened | [`Failure`], [`Simulation::trace`], [`Simulation::trace_svg`], [`Control::note`] |
//! | have code take time | [`compute`](compute()) |
//! | remove the file of a Unix socket | [`remove_file`] |

// | file | what it holds |
// |---|---|
// | `simulation` | the simulation: its hosts and clients |
// | `run` | the loop that chooses which of them runs, and what ends it |
// | `control`, `links` | what a test does to hosts and links while it runs |
// | `check`, `snapshot` | what must hold after each step, and what a check of it sees |
// | `compute` | code that takes time |
// | `trace`, `timeline`, `svg` | what has happened in it, and a picture of that |
// | `faults`, `outages`, `fewer`, `words` | what goes wrong, and when with hosts and links; some of it; how it is printed |
// | `search` | a loop over seeds that looks for a failure, and for what it takes |
// | `parked` | what is thread-local of the simulated threads |
// | `schedule` | crashes and cuts, and when they come |
// | `files` | the files of Unix sockets |
// | `failure` | how a simulation ends that has found something |

mod check;
mod compute;
mod control;
mod failure;
mod faults;
mod fewer;
mod files;
mod links;
mod outages;
mod parked;
mod run;
mod schedule;
mod search;
mod simulation;
mod snapshot;
mod svg;
mod timeline;
mod trace;
mod words;

pub use compute::compute;
pub use control::{Control, control};
pub use failure::Failure;
pub use faults::Faults;
pub use files::remove_file;
pub use search::{Found, search};
pub use simulation::Simulation;
pub use snapshot::{Snapshot, Unread};
