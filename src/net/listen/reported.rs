//! The future of a connection whose service can fail.
//!
//! Written by hand: an async block would keep the future of the service twice, where it was given and where it
//! is polled, and most of what an idle connection takes is that future.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::error_reporter::{ErrorReporter, service_error};

pin_project_lite::pin_project! {
    /// Reports the error of a service, and drops its output.
    pub(super) struct Reported<F> {
        // The future of the service.
        #[pin]
        pub(super) serving: F,
        // What hears of its error.
        pub(super) errors: Arc<ErrorReporter>,
        // The peer of its connection, which the report names.
        pub(super) peer: SocketAddr,
    }
}

impl<F, T, E> Future for Reported<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Err(error) = ready!(this.serving.poll(cx)) {
            this.errors.report_as_is(service_error(*this.peer, error));
        }
        Poll::Ready(())
    }
}
