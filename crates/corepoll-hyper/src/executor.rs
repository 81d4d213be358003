//! Where hyper spawns.

use corepoll::spawn_local;

/// Spawns what hyper wants to run beside a connection on the poller of the calling thread: the
/// streams of HTTP/2, and the connections of a client.
///
/// The futures need not be `Send`. The panic of one ends that one alone. On a thread without a
/// poller, spawning panics.
///
/// # Examples
///
/// ```
/// use corepoll_hyper::{LocalExec, LocalTimer};
/// use hyper::server::conn::http2;
///
/// let mut http = http2::Builder::new(LocalExec);
/// http.timer(LocalTimer);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future<Output: 'static> + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        #[cfg(all(feature = "server", feature = "http2"))]
        let future = crate::under_way::Counted::new(future);
        // Detached: hyper hears of the end of a future by the channel that it shares with it.
        drop(spawn_local(future));
    }
}
