//! Timers for tasks: sleeps, timeouts and intervals.
//!
//! | to | use |
//! |---|---|
//! | wait for some time | [`sleep()`] |
//! | wait until a point in time | [`sleep_until`] |
//! | limit how long a future may take | [`timeout()`], [`timeout_at`] |
//! | do something at a fixed period | [`interval()`], [`interval_at`] |
//! | read the clock that these go by | [`now`] |
//! | end connections whose peers are silent | [`Deadlines`](crate::Deadlines), which cost less than a timeout for each read |
//! | test without waiting | `pause`, `advance` and `resume`, with the feature `test-util` |
//!
//! Handlers have timers of their own: [`EvContext::set_timer`](crate::EvContext::set_timer) and
//! [`EvContext::set_interval`](crate::EvContext::set_interval).
//!
//! # Precision
//!
//! Deadlines are nanoseconds of the monotonic clock, and no timer is early. Since Linux 5.11 the
//! kernel also waits by nanoseconds; older kernels round a wait up to milliseconds. A timer fires
//! when its poller gets to it, so a callback or a poll that runs for long makes all timers late.
//!
//! A timer never overtakes what came before it was due: if bytes arrived in time and the poller was
//! held up, the task gets the bytes and not the timeout.
//!
//! # Where timers live
//!
//! Each future here can be made anywhere, and arms its timer in the poller that first polls it. On a
//! thread without a poller a poll panics. Dropping the future removes the timer.
//!
//! # Tests
//!
//! With the feature `test-util`, a test pauses the clock of its poller. The clock then moves to the next
//! deadline by itself whenever all tasks wait, so this takes no time:
//!
//! ```
//! # #[cfg(feature = "test-util")]
//! # fn main() -> std::io::Result<()> {
//! use corepoll::net::{TcpListener, TcpStream};
//! use corepoll::{block_on, spawn_local, time};
//! use std::io::{self, ErrorKind};
//! use std::time::Duration;
//!
//! // In a test, the body of a function with `#[test]`.
//! block_on(async {
//!     time::pause();
//!     let start = time::now();
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let client = TcpStream::connect(listener.local_addr()?).await?;
//!     let server = spawn_local(async move {
//!         let (stream, _peer) = listener.accept().await?;
//!         let limit = Duration::from_secs(30);
//!         while !time::timeout(limit, stream.read_chunk()).await??.is_empty() {}
//!         io::Result::Ok(())
//!     });
//!
//!     time::sleep(Duration::from_secs(29)).await;
//!     client.try_write(b"in time")?;
//!     // Then nothing comes for 30 seconds.
//!     assert_eq!(server.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
//!     assert_eq!(time::now() - start, Duration::from_secs(59));
//!     Ok(())
//! })
//! # }
//! # #[cfg(not(feature = "test-util"))]
//! # fn main() {}
//! ```
//!
//! # Examples
//!
//! A connection that is closed after 30 seconds without a byte, and a report every minute:
//!
//! ```
//! use corepoll::net::TcpStream;
//! use corepoll::{spawn_local, time};
//! use futures::AsyncReadExt;
//! use std::io;
//! use std::time::Duration;
//!
//! async fn serve(mut stream: TcpStream) -> io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         // The first `?` is for the time, the second for the read.
//!         let read = stream.read(&mut buffer);
//!         let count = time::timeout(Duration::from_secs(30), read).await??;
//!         if count == 0 {
//!             return Ok(());
//!         }
//!     }
//! }
//!
//! async fn report() {
//!     let mut minutes = time::interval(Duration::from_secs(60));
//!     loop {
//!         minutes.tick().await;
//!         println!("still here");
//!     }
//! }
//!
//! # corepoll::block_on(async {
//! spawn_local(report());
//! # let _ = serve;
//! # });
//! ```

mod interval;
#[cfg(feature = "test-util")]
mod pause;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
#[cfg(feature = "test-util")]
pub use pause::{advance, pause, resume};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

use std::time::Instant;

use crate::sys::clock;

/// Returns the time by the clock that timers go by.
///
/// That is [`Instant::now`], unless the feature `test-util` has paused or moved the clock of this
/// thread.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, time};
/// use std::time::Duration;
///
/// block_on(async {
///     let start = time::now();
///     time::sleep(Duration::from_millis(1)).await;
///     assert!(time::now() >= start + Duration::from_millis(1));
/// });
/// ```
pub fn now() -> Instant {
    clock::now_instant()
}
