//! The part of a task that does not depend on its future, and how the rest is reached from there.
//!
//! Wakers, handles and queues hold a pointer to a `Header` and know no type. What depends on the
//! type goes through the vtable, whose offsets lead to the output and to the name without a call.

use std::alloc::Layout;
use std::any::Any;
use std::borrow::Cow;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::base::sync::{Cell, Witness};
use crate::task::current_call::TypeName;
use crate::task::inbox::NodeVTable;
use crate::task::run_queue::TaskNode;
use crate::task::shared::SharedRef;
use crate::task::state::RemoteWord;

/// The part of a task that does not depend on its future.
#[repr(C)]
pub(in crate::task) struct Header {
    /// Its links in the inbox and in the run queue, and its vtable. First, so that a node is a
    /// header.
    pub(super) links: TaskNode,
    /// The executor that it belongs to. Counted, so that a waker finds the inbox even after the
    /// poller's end.
    pub(super) shared: ManuallyDrop<SharedRef>,
    /// The waker that is called when the output is there, in the form of `join_waiter`.
    pub(super) waiter: Cell<*mut ()>,
    /// The count of references that other threads make and drop, and two bits.
    pub(super) remote: RemoteWord,
    /// Its place in the executor's table of tasks.
    pub(super) place: Cell<u32>,
    /// The owner's own count of references, as long as it is small.
    pub(super) local_references: Cell<i16>,
    /// The owner's bits: see `state`.
    pub(super) flags: Cell<u8>,
    /// Checks in a model that the task is freed once, and used only before.
    pub(super) witness: Witness,
}

// 56 bytes beyond the future: the figure of the README's table stands or falls with this.
const _: () = assert!(size_of::<Header>() == 56 || cfg!(loom));

/// What can be done to a task whose future has some type.
#[repr(C)]
pub(super) struct TaskVTable {
    /// First, so that a vtable of a task is one of a node.
    pub(super) node: NodeVTable,
    /// Polls the future once. It is ready if it has ended and the output is in its place. May panic.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    /// Drops a future that has panicked, and leaves the panic as the output.
    pub(super) panicked: unsafe fn(NonNull<Header>, Box<dyn Any + Send>),
    /// Drops the future, and leaves `JoinError::cancelled` as the output.
    pub(super) cancel: unsafe fn(NonNull<Header>),
    /// Like `cancel`, but forgets a future that was never polled: its destructor does not run.
    pub(super) forget: unsafe fn(NonNull<Header>),
    /// Drops the output.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// The layout of the task's allocation.
    pub(super) layout: Layout,
    /// The distance from the header's address to the output.
    pub(super) stage_offset: usize,
    /// The distance from the header's address to the name, if the task has one.
    pub(super) name_offset: Option<usize>,
}

/// The name of a task.
pub(in crate::task) type Name = Cow<'static, str>;

impl Header {
    /// Returns what can be done to this task.
    pub(super) fn vtable(&self) -> &'static TaskVTable {
        // SAFETY: the vtable of a header's node is the beginning of a static TaskVTable.
        unsafe { &*self.links.node.vtable.cast::<TaskVTable>() }
    }

    /// Turns a bit of the flags on.
    pub(super) fn set_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    /// Turns a bit of the flags off.
    pub(super) fn clear_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Returns `true` if one of these bits is on.
    #[inline]
    pub(in crate::task) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }
}

/// Returns the task's name, if it has one.
///
/// # Safety
///
/// The task lives for `'a`, and `header` may be used for the whole of its block.
pub(in crate::task) unsafe fn name<'a>(header: NonNull<Header>) -> Option<&'a Name> {
    // SAFETY: the caller's contract; a name stands at its offset from the beginning to the end.
    unsafe {
        let offset = header.as_ref().vtable().name_offset?;
        Some(header.cast::<u8>().add(offset).cast::<Name>().as_ref())
    }
}

/// Returns the type of the task's future.
///
/// # Safety
///
/// The task is alive.
#[inline]
pub(in crate::task) unsafe fn future_type(header: NonNull<Header>) -> TypeName {
    // SAFETY: the caller's contract.
    unsafe { header.as_ref().vtable().node.type_name }
}
