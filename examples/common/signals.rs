//! SIGINT and SIGTERM.

use std::io;
use std::thread;
use std::time::Duration;

use corepoll::ReactorHandle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long connections may take to end after the first signal. Requests here take microseconds: this
/// is for peers on slow networks.
const GRACE: Duration = Duration::from_secs(5);

/// From now on the first signal shuts the reactor down gracefully, and a second one at once.
pub fn shut_down_on_signal(reactor: ReactorHandle) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    // Nobody joins this thread: it ends with the process.
    thread::Builder::new().name(String::from("signals")).spawn(move || {
        let mut grace = GRACE;
        for _signal in signals.forever() {
            reactor.shutdown(grace);
            grace = Duration::ZERO;
        }
    })?;
    Ok(())
}
