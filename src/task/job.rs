//! A closure on its way to the owner's thread.

use std::any::type_name;
use std::ptr;

use crate::base::sync::Cell;

use super::current;
use super::home::{Home, HomeRef};
use super::inbox::{Node, NodeVTable};

/// A posted closure: the node first, so that a node is a job.
#[repr(C)]
struct Job<F> {
    node: Node,
    run: F,
}

struct VTableOf<F>(F);

impl<F: FnOnce()> VTableOf<F> {
    const VTABLE: &'static NodeVTable =
        &NodeVTable { deliver: deliver::<F>, refuse: refuse::<F>, type_name: type_name::<F> };
}

/// # Safety
/// `node` is a `Job<F>` made by [`HomeRef::post`] that has been taken out of the inbox.
unsafe fn deliver<F: FnOnce()>(node: *mut Node) {
    // SAFETY: the caller's contract.
    let job = unsafe { Box::from_raw(node.cast::<Job<F>>()) };
    current::home(Home::count_taken_up);
    (job.run)();
}

/// # Safety
/// `node` is a `Job<F>` made by [`HomeRef::post`] that has been taken out of the inbox.
unsafe fn refuse<F: FnOnce()>(node: *mut Node) {
    // SAFETY: the caller's contract.
    drop(unsafe { Box::from_raw(node.cast::<Job<F>>()) });
}

/// Why a closure was not posted, with the closure.
pub(crate) enum Refused<F> {
    /// As many wait as may.
    Full(F),
    /// The executor has ended.
    Ended(F),
}

impl HomeRef {
    /// Sends `run` to the owner's thread, where it runs in the order of the posts, or is dropped
    /// if the executor ends first. Never blocks; may be called from any thread.
    ///
    /// # Errors
    /// Gives `run` back if the executor has ended.
    pub(crate) fn post<F: FnOnce() + Send + 'static>(&self, run: F) -> Result<(), F> {
        self.as_ref().count_post();
        self.post_counted(run)
    }

    /// As [`HomeRef::post`], unless `most` closures wait already.
    pub(crate) fn try_post<F: FnOnce() + Send + 'static>(
        &self,
        run: F,
        most: u64,
    ) -> Result<(), Refused<F>> {
        // Counted first: however many threads are here at a time, no more than `most` get in.
        if self.as_ref().count_post() >= most {
            self.as_ref().uncount_post();
            return Err(Refused::Full(run));
        }
        self.post_counted(run).map_err(Refused::Ended)
    }

    fn post_counted<F: FnOnce() + Send + 'static>(&self, run: F) -> Result<(), F> {
        let node =
            Node { next: Cell::new(ptr::null_mut()), vtable: ptr::from_ref(VTableOf::<F>::VTABLE) };
        let job = Box::into_raw(Box::new(Job { node, run }));
        // SAFETY: the job is alive and known to nobody else; `self` keeps the home alive.
        if unsafe { self.as_ref().mail(job.cast()) } {
            return Ok(());
        }
        self.as_ref().uncount_post();
        // SAFETY: it was refused, so it still belongs to us.
        Err(unsafe { Box::from_raw(job) }.run)
    }
}
