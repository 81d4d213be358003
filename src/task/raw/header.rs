//! The part of a task that doesn't depend on its future, and how the rest is reached from there.

use std::alloc::Layout;
use std::any::Any;
use std::borrow::Cow;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::Context;

use crate::base::sync::{Cell, Witness};
use crate::task::calls::TypeName;
use crate::task::home::HomeRef;
use crate::task::inbox::{Node, NodeVTable};
use crate::task::join::{JoinError, JoinWaiter};
use crate::task::state::{OUTPUT, RemoteWord};

/// The part of a task that doesn't depend on its future.
#[repr(C)]
pub(in crate::task) struct Header {
    /// Its place in the inbox, and its vtable. First, so that a node is a header.
    pub(super) node: Node,
    /// Where it lives. Counted, so that a waker finds the inbox even after the poller's end.
    pub(super) home: ManuallyDrop<HomeRef>,
    /// The task behind this one in the run queue.
    pub(in crate::task) queue_next: Cell<*mut Header>,
    /// Who waits for the output.
    pub(in crate::task) waiter: JoinWaiter,
    /// The count of references that other threads make and drop, and two bits.
    pub(super) remote: RemoteWord,
    /// Its place in the home's table of tasks.
    pub(super) place: Cell<u32>,
    /// The owner's own count of references, as long as it is small.
    pub(super) local_references: Cell<i16>,
    /// The owner's bits: see `state`.
    pub(in crate::task) flags: Cell<u8>,
    /// For the models.
    pub(super) witness: Witness,
}

// 56 bytes beyond the future: the figure of the README's table stands or falls with this.
const _: () = assert!(size_of::<Header>() == 56 || cfg!(loom));

/// What can be done to a task whose future has some type.
#[repr(C)]
pub(super) struct TaskVTable {
    /// First, so that a vtable of a task is one of a node.
    pub(super) node: NodeVTable,
    /// Polls the future once; true: it has ended, and the output is in its place. May throw.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// Drops a future that has thrown, and leaves what it threw as the output.
    pub(super) panicked: unsafe fn(NonNull<Header>, Box<dyn Any + Send>),
    /// Drops the future and leaves [`JoinError::cancelled`] as the output.
    pub(super) cancel: unsafe fn(NonNull<Header>),
    /// As `cancel`, but a future that was never polled is forgotten: its destructor doesn't run.
    pub(super) forget: unsafe fn(NonNull<Header>),
    /// Drops the output.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// The allocation.
    pub(super) layout: Layout,
    /// Where output is found, from the header's address on.
    pub(super) stage_offset: usize,
    /// Where the name is found, if the task has one.
    pub(super) name_offset: Option<usize>,
}

/// What a task may be called.
pub(in crate::task) type Name = Cow<'static, str>;

impl Header {
    pub(super) fn vtable(&self) -> &'static TaskVTable {
        // SAFETY: the vtable of a header's node is the beginning of a static TaskVTable.
        unsafe { &*self.node.vtable.cast::<TaskVTable>() }
    }

    pub(super) fn set_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    pub(super) fn clear_flag(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    #[inline]
    pub(in crate::task) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }
}

/// Drops the output if it is still there.
///
/// # Safety
/// The caller is the owner; the task is alive.
pub(super) unsafe fn take_output_away(header: NonNull<Header>) {
    // SAFETY: **Stage**: OUTPUT says that the output is there; from here on it isn't.
    unsafe {
        let task = header.as_ref();
        if task.has(OUTPUT) {
            task.clear_flag(OUTPUT);
            (task.vtable().drop_output)(header);
        }
    }
}

/// Moves the output out.
///
/// # Safety
/// The caller is on the owner's thread; OUTPUT is on, and `T` is the type of the future's output.
pub(in crate::task) unsafe fn take_output<T>(header: NonNull<Header>) -> Result<T, JoinError> {
    // SAFETY: **Stage**; the output stands at the stage's offset, as a union's field does.
    unsafe {
        let task = header.as_ref();
        task.clear_flag(OUTPUT);
        header.cast::<u8>().add(task.vtable().stage_offset).cast::<Result<T, JoinError>>().read()
    }
}

/// The task's name, if it has one.
///
/// # Safety
/// The task lives for `'a`, and `header` may be used for the whole of its block.
pub(in crate::task) unsafe fn name<'a>(header: NonNull<Header>) -> Option<&'a Name> {
    // SAFETY: the caller's contract; a name stands at its offset from the beginning to the end.
    unsafe {
        let offset = header.as_ref().vtable().name_offset?;
        Some(header.cast::<u8>().add(offset).cast::<Name>().as_ref())
    }
}

/// The type of the task's future.
///
/// # Safety
/// The task is alive.
#[inline]
pub(in crate::task) unsafe fn future_type(header: NonNull<Header>) -> TypeName {
    // SAFETY: the caller's contract.
    unsafe { header.as_ref().vtable().node.type_name }
}
