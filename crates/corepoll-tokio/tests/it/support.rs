//! Peers on threads of their own, and bytes that are easily told apart.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// When a test gives up: far more than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a future on a poller of this thread, and returns its output.
///
/// # Panics
///
/// If that takes longer than [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    corepoll::block_on(corepoll::time::timeout(PATIENCE, future)).expect("the future ends")
}

/// Bytes of no short period, so that what is lost, doubled or swapped shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// A peer that serves one connection on a thread.
pub(crate) struct Peer<T> {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    thread: JoinHandle<io::Result<T>>,
}

impl<T: Send + 'static> Peer<T> {
    /// Starts a peer that serves its connection with `serve`.
    pub(crate) fn start(
        serve: impl FnOnce(TcpStream) -> io::Result<T> + Send + 'static,
    ) -> Peer<T> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || serve(listener.accept()?.0));
        Peer { address, thread }
    }

    /// Waits until it has served, and returns what it has found.
    pub(crate) fn join(self) -> T {
        self.thread.join().expect("the peer doesn't panic").expect("the peer's socket works")
    }
}
