//! SIGINT and SIGTERM.

use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// From now on each of the two calls `told`, on a thread of its own.
pub fn on_signal(mut told: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    // Nobody joins this thread: it ends with the process.
    thread::Builder::new()
        .name(String::from("signals"))
        .spawn(move || signals.forever().for_each(|_signal| told()))?;
    Ok(())
}
