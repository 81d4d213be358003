//! Closures that other threads send to the owner's thread.
//!
//! A job is one allocation: a node for the inbox, and the closure behind it. The node's vtable
//! knows the closure's type, so that the inbox need not.

use std::any::type_name;
use std::ptr;

use crate::base::sync::Cell;

use super::inbox::{Node, NodeVTable};
use super::shared::{self, Shared, SharedRef};

/// A posted closure.
#[repr(C)]
struct Job<F> {
    /// First, so that a pointer to the node is a pointer to the job.
    node: Node,
    /// The closure.
    run: F,
}

/// A place for the vtable of closures of the type `F`.
struct VTableOf<F>(F);

impl<F: FnOnce()> VTableOf<F> {
    /// The vtable of a job.
    const VTABLE: &'static NodeVTable =
        &NodeVTable { deliver: deliver::<F>, refuse: refuse::<F>, type_name: type_name::<F> };
}

/// Runs the closure.
///
/// # Safety
///
/// `node` is a `Job<F>` made by [`SharedRef::post`] that has been taken out of the inbox.
unsafe fn deliver<F: FnOnce()>(node: *mut Node) {
    // SAFETY: the caller's contract.
    let job = unsafe { Box::from_raw(node.cast::<Job<F>>()) };
    shared::with_current(Shared::count_taken_up);
    (job.run)();
}

/// Drops the closure, since the executor ends.
///
/// # Safety
///
/// `node` is a `Job<F>` made by [`SharedRef::post`] that has been taken out of the inbox.
unsafe fn refuse<F: FnOnce()>(node: *mut Node) {
    // SAFETY: the caller's contract.
    drop(unsafe { Box::from_raw(node.cast::<Job<F>>()) });
}

/// The reason why a closure was not posted, with the closure.
pub(crate) enum Refused<F> {
    /// The limit of waiting closures is reached.
    Full(F),
    /// The executor has ended.
    Ended(F),
}

impl SharedRef {
    /// Sends `run` to the owner's thread. Closures run there in the order of the posts, and are
    /// dropped if the executor ends first. Never blocks; may be called from any thread.
    ///
    /// # Errors
    ///
    /// Gives `run` back if the executor has ended.
    pub(crate) fn post<F: FnOnce() + Send + 'static>(&self, run: F) -> Result<(), F> {
        self.as_ref().count_post();
        self.post_counted(run)
    }

    /// Sends `run` like [`SharedRef::post`], unless `most` closures wait already.
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

    /// Sends a closure that is counted already.
    fn post_counted<F: FnOnce() + Send + 'static>(&self, run: F) -> Result<(), F> {
        let node =
            Node { next: Cell::new(ptr::null_mut()), vtable: ptr::from_ref(VTableOf::<F>::VTABLE) };
        let job = Box::into_raw(Box::new(Job { node, run }));
        // SAFETY: the job is alive, and no other code knows it; `self` keeps the executor's state
        // alive.
        if unsafe { self.as_ref().mail(job.cast()) } {
            return Ok(());
        }
        self.as_ref().uncount_post();
        // SAFETY: it was refused, so it still belongs to this thread.
        Err(unsafe { Box::from_raw(job) }.run)
    }
}
