//! How an endpoint ends when its reactor is asked to shut down.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use corepoll::{shutdown_requested, time};
use quinn::{Endpoint, Incoming, VarInt};

/// The code with which connections are closed at the end: nothing has gone wrong.
const NO_ERROR: VarInt = VarInt::from_u32(0);

/// Waits for the next connection attempt. Returns `None` once the reactor of this poller has been
/// asked to shut down, or the endpoint has been closed.
///
/// Attempts that wait in the endpoint then are refused by [`drain`].
///
/// # Panics
///
/// The future panics if it is polled outside of a poller.
///
/// # Cancel safety
///
/// This function is cancel-safe: no attempt is lost.
///
/// # Examples
///
/// ```
/// use corepoll::spawn_local;
/// use corepoll_quinn::{accept, drain, quinn};
/// use std::time::Duration;
///
/// # async fn serve(incoming: quinn::Incoming) {}
/// async fn run(endpoint: quinn::Endpoint) {
///     while let Some(incoming) = accept(&endpoint).await {
///         spawn_local(serve(incoming));
///     }
///     drain(&endpoint, Duration::from_secs(10)).await;
/// }
/// ```
pub async fn accept(endpoint: &Endpoint) -> Option<Incoming> {
    let mut shutdown = pin!(shutdown_requested());
    let mut incoming = pin!(endpoint.accept());
    poll_fn(|cx| match shutdown.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => incoming.as_mut().poll(cx),
    })
    .await
}

/// Ends an endpoint: refuses new connections, waits up to `grace` for those that are open to end by
/// themselves, and closes the rest.
///
/// It returns when the peers have been told. That takes three times the time in which a lost
/// packet is noticed, a tenth of a second in most networks. So `grace` should be a second shorter than
/// that of [`ReactorHandle::shutdown`](corepoll::ReactorHandle::shutdown): if the reactor ends first,
/// the peers are not told, and wait until their idle timeout.
///
/// A connection ends by itself when its task has seen
/// [`shutdown_requested`](corepoll::shutdown_requested), or when the last handle of it is dropped.
///
/// # Panics
///
/// The future panics if it is polled outside of a poller.
///
/// # Cancel safety
///
/// This function is cancel-safe. If its future is dropped, the endpoint goes on.
///
/// # Examples
///
/// See [`accept`].
pub async fn drain(endpoint: &Endpoint, grace: Duration) {
    let mut refusing = pin!(refuse_all(endpoint));
    let mut idle = pin!(endpoint.wait_idle());
    let mut is_refusing = true;
    let drained = poll_fn(|cx| {
        is_refusing = is_refusing && refusing.as_mut().poll(cx).is_pending();
        idle.as_mut().poll(cx)
    });
    // Those that are still open when the time is over are closed below.
    let _ = time::timeout(grace, drained).await;
    endpoint.close(NO_ERROR, b"shutdown");
    endpoint.wait_idle().await;
}

/// Refuses connection attempts until the endpoint is closed.
async fn refuse_all(endpoint: &Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
}
