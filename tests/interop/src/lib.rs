//! What the tests of `tests/it` share: real programs that run beside a test and end with it, folders and
//! ports of their own, certificates, and the reactors and clients of corepoll's own tests.

/// The helpers of corepoll's own tests.
#[allow(missing_docs, missing_debug_implementations, clippy::new_without_default)]
#[path = "../../common/mod.rs"]
pub mod common;

pub mod certificates;
pub mod folder;
mod group;
pub mod h2;
pub mod memory;
pub mod pattern;
pub mod peer;
pub mod port;
pub mod tools;

pub use common::{ANY, PATIENCE, Server, eventually, within_patience};
pub use folder::Folder;
pub use pattern::{Pattern, pattern};
pub use peer::{Finished, Peer};
pub use port::Port;
pub use tools::{program, program_as, python};

use std::future::Future;
use std::time::Duration;

/// How long a program may take from its start to its end, or to its readiness: far more than it ever
/// takes, for a machine that compiles beside it.
pub const LONG: Duration = Duration::from_secs(120);

/// Runs a future on a poller of the calling thread, and returns its output.
///
/// # Panics
///
/// If that takes longer than [`LONG`].
#[track_caller]
pub fn wait_for<F: Future>(future: F) -> F::Output {
    let output = corepoll::block_on(corepoll::time::timeout(LONG, future));
    output.expect("the future ends")
}
