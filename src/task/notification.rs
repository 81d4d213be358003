//! A call to the owner's thread that is posted again and again, without an allocation.
//!
//! A closure would do the same, with an allocation each time. A `Writer` posts with every
//! write, so its node is made once, and a flag says whether it is on its way.

use std::any::type_name;
use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use crate::base::sync::{AtomicU32, Cell, Ordering};

use super::inbox::{Node, NodeVTable};
use super::shared::SharedRef;

/// The action of a notification on arrival.
pub(crate) trait OnNotify: Send + Sync + 'static {
    /// Acts on a notification. Called on the owner's thread, some time after each post. Posts that
    /// come before the call share it, and it sees what was done before each of them.
    fn on_notify(&self);
}

/// A value that threads share, and the node that notifies the owner's thread of a change. Clones
/// share both.
pub(crate) struct Notification<T> {
    /// What the clones share.
    inner: Arc<Inner<T>>,
}

/// What the clones of a notification share.
#[repr(C)]
struct Inner<T> {
    /// First, so that a pointer to the node is a pointer to this. Its link belongs to the thread that
    /// turned `is_posted` on, until the owner has taken the node out of the inbox (**Link**). A node
    /// that is on its way holds a count of the `Arc`.
    node: Node,
    /// 1 while the node is on its way to the owner, or a thread is about to post it; else 0.
    is_posted: AtomicU32,
    /// The executor whose owner is notified.
    shared: SharedRef,
    /// The value.
    value: T,
}

// SAFETY: the vtable pointer is static and read only. The link is touched by one thread at a time:
// by the one that turned `is_posted` on, then by the owner, which turns it off after its last
// touch; the two are ordered by the acquire and release of that word. The rest is Send and Sync.
unsafe impl<T: Send + Sync> Send for Inner<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Inner<T> {}

/// A place for the vtable of notifications with a value of the type `T`.
struct VTableOf<T>(T);

impl<T: OnNotify> VTableOf<T> {
    /// The vtable of a notification.
    const VTABLE: &'static NodeVTable =
        &NodeVTable { deliver: deliver::<T>, refuse: refuse::<T>, type_name: type_name::<T> };
}

/// Takes the notification of a node that was taken out of the inbox. From here on it can be posted
/// anew.
///
/// # Safety
///
/// `node` is an `Inner<T>` that [`Notification::post`] has put into the inbox, and it is out again.
unsafe fn arrived<T: OnNotify>(node: *mut Node) -> Arc<Inner<T>> {
    // SAFETY: the caller's contract: the count that the post gave to the node is ours now.
    let inner = unsafe { Arc::from_raw(node.cast::<Inner<T>>().cast_const()) };
    // Release: the thread that posts next touches the link after this. Acquire: this thread sees what
    // was done before each post that found the node on its way.
    inner.is_posted.swap(0, Ordering::AcqRel);
    inner
}

/// Acts on the notification.
///
/// # Safety
///
/// As [`arrived`].
unsafe fn deliver<T: OnNotify>(node: *mut Node) {
    // SAFETY: the caller's contract.
    let inner = unsafe { arrived::<T>(node) };
    inner.value.on_notify();
}

/// Drops the node's reference, since the executor ends.
///
/// # Safety
///
/// As [`arrived`].
unsafe fn refuse<T: OnNotify>(node: *mut Node) {
    // SAFETY: the caller's contract.
    drop(unsafe { arrived::<T>(node) });
}

impl<T: OnNotify> Notification<T> {
    /// Makes a notification to the owner of `shared`.
    pub(crate) fn new(shared: SharedRef, value: T) -> Notification<T> {
        let node =
            Node { next: Cell::new(ptr::null_mut()), vtable: ptr::from_ref(VTableOf::<T>::VTABLE) };
        Notification {
            inner: Arc::new(Inner { node, is_posted: AtomicU32::new(0), shared, value }),
        }
    }

    /// Makes the owner's thread call [`OnNotify::on_notify`], unless the executor ends first.
    /// Never blocks and never allocates; may be called from any thread. Returns `false` if the
    /// executor has ended.
    pub(crate) fn post(&self) -> bool {
        // Acquire: the owner is done with the link. Release: the call that is on its way sees what
        // was done before this.
        if self.inner.is_posted.swap(1, Ordering::AcqRel) == 1 {
            return true;
        }
        let node = Arc::into_raw(self.inner.clone()).cast_mut().cast::<Node>();
        // SAFETY: this thread turned `is_posted` on, so the link is its own; the count that was just
        // made keeps the node alive until it is taken out; `self` keeps the executor's state alive.
        if unsafe { self.inner.shared.as_ref().mail(node) } {
            return true;
        }
        // SAFETY: the node was refused, so it still belongs to this thread, and is an `Inner<T>`.
        drop(unsafe { arrived::<T>(node) });
        false
    }
}

impl<T> Clone for Notification<T> {
    fn clone(&self) -> Notification<T> {
        Notification { inner: self.inner.clone() }
    }
}

impl<T> Deref for Notification<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Notification<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notification").field(&self.inner.value).finish()
    }
}
