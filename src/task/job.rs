//! A closure on its way to the owner's thread.

use std::any::type_name;
use std::ptr;

use crate::base::sync::Cell;

use super::home::HomeRef;
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
    (job.run)();
}

/// # Safety
/// `node` is a `Job<F>` made by [`HomeRef::post`] that has been taken out of the inbox.
unsafe fn refuse<F: FnOnce()>(node: *mut Node) {
    // SAFETY: the caller's contract.
    drop(unsafe { Box::from_raw(node.cast::<Job<F>>()) });
}

impl HomeRef {
    /// Sends `run` to the owner's thread, where it runs in the order of the posts, or is dropped
    /// if the executor ends first. Never blocks; may be called from any thread.
    ///
    /// # Errors
    /// Gives `run` back if the executor has ended.
    pub(crate) fn post<F: FnOnce() + Send + 'static>(&self, run: F) -> Result<(), F> {
        let node =
            Node { next: Cell::new(ptr::null_mut()), vtable: ptr::from_ref(VTableOf::<F>::VTABLE) };
        let job = Box::into_raw(Box::new(Job { node, run }));
        // SAFETY: the job is alive and known to nobody else; `self` keeps the home alive.
        if unsafe { self.as_ref().mail(job.cast()) } {
            return Ok(());
        }
        // SAFETY: it was refused, so it still belongs to us.
        Err(unsafe { Box::from_raw(job) }.run)
    }
}
