//! The requests of a connection of HTTP/2 that are under way: from the call of the service until hyper has
//! sent the whole answer.
//!
//! hyper spawns a task for each, by [`LocalExec`](crate::LocalExec), while its connection is polled. So the
//! connection that is polled counts what is spawned meanwhile. A wrapper of services and bodies would see the
//! same, for 160 instructions a request.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// How many requests of one connection are under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay(Rc<Cell<usize>>);

thread_local! {
    /// The count of the connection that this thread is polling.
    static CURRENT: RefCell<Option<UnderWay>> = const { RefCell::new(None) };
}

impl UnderWay {
    /// Returns `true` if no request is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.get() == 0
    }

    /// Counts one that never ends: nothing tells of the end of a tunnel.
    pub(crate) fn begin_tunnel(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// Counts what `poll` spawns, for as long as it runs.
    #[inline]
    pub(crate) fn count<T>(&self, poll: impl FnOnce() -> T) -> T {
        let _reset = Reset(CURRENT.replace(Some(self.clone())));
        poll()
    }
}

/// Gives [`CURRENT`] its value back, also if a service panics.
struct Reset(Option<UnderWay>);

impl Drop for Reset {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

pin_project! {
    /// A task of hyper, which is counted while it lives if it is a request.
    #[derive(Debug)]
    pub(crate) struct Counted<F> {
        // The task.
        #[pin]
        future: F,
        // Counts it.
        guard: Option<Guard>,
    }
}

impl<F> Counted<F> {
    /// Counts `future`, if a connection is being polled.
    #[inline]
    pub(crate) fn new(future: F) -> Counted<F> {
        let guard = CURRENT.with_borrow(|current| {
            current.as_ref().map(|under_way| {
                under_way.0.set(under_way.0.get() + 1);
                Guard(under_way.clone())
            })
        });
        Counted { future, guard }
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// A request that is under way.
#[derive(Debug)]
struct Guard(UnderWay);

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}
