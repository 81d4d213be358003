//! The inbox: a lock-free stack by which other threads reach the owner.
//!
//! One word, its head, says whether there is mail, whether the owner sleeps, and whether it has gone.
//! A producer learns from the very write that brings its mail whether it has to ring the bell, and
//! announcing sleep fails if mail has come first. So there is no window between the two in which a
//! wake-up could get lost.

use std::ptr;

use crate::base::sync::{AtomicPtr, Cell, Ordering};

use super::current_call::TypeName;

/// The first part of all that goes through an inbox.
#[repr(C)]
pub(super) struct Node {
    /// The node below this one. See the invariant **Link** of the module.
    pub(super) next: Cell<*mut Node>,
    /// The functions for this kind of node, which are static. A raw pointer, as it may point at the
    /// beginning of a larger table.
    pub(super) vtable: *const NodeVTable,
}

/// The functions that the owner calls with a node.
pub(super) struct NodeVTable {
    /// Handles a node that has arrived, on the owner's thread.
    pub(super) deliver: unsafe fn(*mut Node),
    /// Drops a node unused, on the owner's thread, since the executor ends.
    pub(super) refuse: unsafe fn(*mut Node),
    /// The type that the node carries.
    pub(super) type_name: TypeName,
}

/// The head while the owner sleeps, or is about to.
const PARKED: *mut Node = ptr::without_provenance_mut(1);
/// The head after the owner has gone. No node gets in any more.
const CLOSED: *mut Node = ptr::without_provenance_mut(2);

/// The state in which a push found the owner.
pub(super) enum Pushed {
    /// The owner is awake and will look.
    OwnerAwake,
    /// The owner sleeps: the bell has to be rung.
    OwnerParked,
    /// There is no owner any more; the node still belongs to the caller.
    Refused,
}

/// The stack. It is last in, first out, and the owner reverses what it takes.
pub(super) struct Inbox {
    /// The newest node, null, `PARKED` or `CLOSED`.
    head: AtomicPtr<Node>,
}

impl Inbox {
    /// Makes an empty inbox, whose owner is awake.
    pub(super) fn new() -> Inbox {
        Inbox { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Returns `true` if there is a node to take.
    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        // Relaxed: a hint. `take` synchronises.
        self.head.load(Ordering::Relaxed).addr() > CLOSED.addr()
    }

    /// Puts a node on top.
    ///
    /// # Safety
    ///
    /// `node` is alive, its link belongs to the caller, and both stay so until it has been taken.
    pub(super) unsafe fn push(&self, node: *mut Node) -> Pushed {
        // A guess instead of a load, as in `RemoteWord::mail`: the owner is awake, and has taken all
        // that came before.
        let mut head = ptr::null_mut();
        loop {
            if head == CLOSED {
                return Pushed::Refused;
            }
            let below = if head == PARKED { ptr::null_mut() } else { head };
            // SAFETY: the node is alive and its link ours, by the contract of this function.
            unsafe { (*node).next.set(below) };
            // Release: the taker sees the node's link and contents. Acquire: a thread that finds CLOSED
            // gives up its node itself, and must see that the owner has counted it (see
            // `raw::references::retire`) before.
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) if head == PARKED => return Pushed::OwnerParked,
                Ok(_) => return Pushed::OwnerAwake,
                Err(actual) => head = actual,
            }
        }
    }

    /// Takes all nodes, the oldest first. The owner is awake after this. There may be millions of them,
    /// so `step` is called now and then on the way.
    pub(super) fn take(&self, step: impl Fn()) -> *mut Node {
        // Acquire: pairs with the release of every push in the chain; each later push reads the
        // head that the one before it wrote, and so continues its release sequence.
        let head = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        oldest_first(head, step)
    }

    /// Announces sleep. Returns `false` if there is mail, and the owner must stay awake.
    pub(super) fn park(&self) -> bool {
        // A thread that pushes after this sees PARKED, since both are writes to one word. Release: what
        // the thread does that rings the bell comes after this.
        let parked = self.head.compare_exchange(
            ptr::null_mut(),
            PARKED,
            Ordering::Release,
            Ordering::Relaxed,
        );
        // If sleep was announced before and no mail has come since, that is as good.
        parked.is_ok() || parked == Err(PARKED)
    }

    /// Takes the announcement back, if no mail has come meanwhile.
    pub(super) fn unpark(&self) {
        let _ = self.head.compare_exchange(
            PARKED,
            ptr::null_mut(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Closes the inbox, and takes what is left like [`Inbox::take`].
    pub(super) fn close(&self, step: impl Fn()) -> *mut Node {
        // Release as well: a producer that finds CLOSED may free its node and, with it, the inbox.
        oldest_first(self.head.swap(CLOSED, Ordering::AcqRel), step)
    }
}

/// The nodes between two calls of `step`: less than a millisecond, even if none of them is in a cache.
const NODES_PER_STEP: u32 = 4096;

/// Reverses a chain of nodes, and calls `step` now and then.
fn oldest_first(head: *mut Node, step: impl Fn()) -> *mut Node {
    if head == PARKED || head == CLOSED {
        return ptr::null_mut();
    }
    let mut rest = head;
    let mut turned: *mut Node = ptr::null_mut();
    let mut count = 0_u32;
    while !rest.is_null() {
        // SAFETY: nodes of a chain that was taken out are alive, and their links belong to the taker
        // (**Link**).
        let next = unsafe { (*rest).next.replace(turned) };
        turned = rest;
        rest = next;
        count = count.wrapping_add(1);
        if count.is_multiple_of(NODES_PER_STEP) {
            step();
        }
    }
    turned
}
