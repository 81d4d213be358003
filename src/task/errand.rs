//! A call to the owner's thread that is posted again and again, without an allocation.

use std::any::type_name;
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use crate::base::sync::{AtomicU32, Cell, Ordering};

use super::home::HomeRef;
use super::inbox::{Node, NodeVTable};

/// What an errand does on arrival.
pub(crate) trait Run: Send + Sync + 'static {
    /// Called on the owner's thread, some time after each post. Posts that come before it is
    /// called share one call, which sees whatever was done before any of them.
    fn run(&self);
}

/// A value that everybody shares, and the node that calls the owner's thread to it. Cloning it
/// shares both.
pub(crate) struct Errand<T> {
    inner: Arc<Inner<T>>,
}

/// The node first, so that a node is an errand.
#[repr(C)]
struct Inner<T> {
    /// Its link belongs to whoever turned `is_on_its_way` on, until the owner has taken the node
    /// out of the inbox (**Link**). A node that is on its way holds a count of the `Arc`.
    node: Node,
    /// 1 while the node is on its way to the owner, or in the hands of one who is about to post
    /// it; else 0.
    is_on_its_way: AtomicU32,
    /// Where it goes.
    home: HomeRef,
    what: T,
}

// SAFETY: the vtable pointer is static and read only. The link is touched by one thread at a time:
// by the one that turned `is_on_its_way` on, then by the owner, who turns it off after its last
// touch; the two are ordered by the acquire and release of that word. The rest is Send and Sync.
unsafe impl<T: Send + Sync> Send for Inner<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Inner<T> {}

struct VTableOf<T>(T);

impl<T: Run> VTableOf<T> {
    const VTABLE: &'static NodeVTable =
        &NodeVTable { deliver: deliver::<T>, refuse: refuse::<T>, type_name: type_name::<T> };
}

/// Takes the errand of a node that has been taken out of the inbox: from here on it can be posted
/// anew.
///
/// # Safety
/// `node` is an `Inner<T>` that [`Errand::post`] has put into the inbox, and it is out again.
unsafe fn arrived<T: Run>(node: *mut Node) -> Arc<Inner<T>> {
    // SAFETY: the caller's contract: the count that the post gave to the node is ours now.
    let inner = unsafe { Arc::from_raw(node.cast::<Inner<T>>().cast_const()) };
    // Release: who posts next touches the link after us. Acquire: we see what those did who found
    // the node on its way.
    inner.is_on_its_way.swap(0, Ordering::AcqRel);
    inner
}

/// # Safety
/// As [`arrived`].
unsafe fn deliver<T: Run>(node: *mut Node) {
    // SAFETY: the caller's contract.
    let inner = unsafe { arrived::<T>(node) };
    inner.what.run();
}

/// # Safety
/// As [`arrived`].
unsafe fn refuse<T: Run>(node: *mut Node) {
    // SAFETY: the caller's contract.
    drop(unsafe { arrived::<T>(node) });
}

impl<T: Run> Errand<T> {
    /// An errand to the owner of `home`.
    pub(crate) fn new(home: HomeRef, what: T) -> Errand<T> {
        let node =
            Node { next: Cell::new(ptr::null_mut()), vtable: ptr::from_ref(VTableOf::<T>::VTABLE) };
        Errand { inner: Arc::new(Inner { node, is_on_its_way: AtomicU32::new(0), home, what }) }
    }

    /// Has [`Run::run`] called on the owner's thread, unless the executor ends first. Never
    /// blocks and never allocates; may be called from any thread. False: the executor has ended.
    pub(crate) fn post(&self) -> bool {
        // Acquire: the owner is done with the link. Release: the call that is on its way sees what
        // we did before this.
        if self.inner.is_on_its_way.swap(1, Ordering::AcqRel) == 1 {
            return true;
        }
        let node = Arc::into_raw(self.inner.clone()).cast_mut().cast::<Node>();
        // SAFETY: we turned `is_on_its_way` on, so the link is ours; the count that was just made
        // keeps the node alive until it is taken out; `self` keeps the home alive.
        if unsafe { self.inner.home.as_ref().mail(node) } {
            return true;
        }
        // SAFETY: the node was refused, so it still belongs to us, and is an `Inner<T>`.
        drop(unsafe { arrived::<T>(node) });
        false
    }
}

impl<T> Clone for Errand<T> {
    fn clone(&self) -> Errand<T> {
        Errand { inner: self.inner.clone() }
    }
}

impl<T> Deref for Errand<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner.what
    }
}

impl<T: fmt::Debug> fmt::Debug for Errand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Errand").field(&self.inner.what).finish()
    }
}
