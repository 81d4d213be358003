//! The part of a task that depends on the type of its future: its memory, and what is done there.
//!
//! It is compiled anew for each type of future. So it is kept to what the type decides, and the rest
//! of a task's life is shared code.

use std::alloc::Layout;
use std::any::{Any, type_name};
use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use crate::base::sync::{Cell, Witness};
use crate::task::ignore_panic::drop_ignoring_panic;
use crate::task::inbox::{Node, NodeVTable};
use crate::task::join_error::JoinError;
use crate::task::memory;
use crate::task::run_queue::TaskNode;
use crate::task::shared::{Shared, SharedRef};
use crate::task::state::{HANDLE, QUEUED, RemoteWord};

use super::header::{Header, Name, TaskVTable};
use super::life::enter_table;
use super::waking::arrive;

// Free blocks are kept by this alignment, and hold the address of the next one meanwhile.
const _: () = assert!(align_of::<Header>() == memory::STEP || cfg!(loom));
const _: () = assert!(size_of::<Header>() >= size_of::<*mut u8>());

/// A task whose future has the type `F`.
#[repr(C)]
struct Task<F: Future> {
    /// The part that does not depend on `F`.
    header: Header,
    /// The future, later the output.
    stage: UnsafeCell<Stage<F>>,
}

/// A task with a name. The name stands behind the task, so that tasks without one do not pay for it.
#[repr(C)]
struct NamedTask<F: Future> {
    /// The task itself.
    task: Task<F>,
    /// The name: never changed, and dropped with the memory.
    name: Name,
}

/// What a task holds: the future until COMPLETE, the output while OUTPUT is on, and nothing after
/// that. Both stand at the offset 0.
#[repr(C)]
union Stage<F: Future> {
    /// The future that is polled.
    future: ManuallyDrop<F>,
    /// What the future has returned, or why it has not.
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

/// A place for the vtables of futures of the type `F`.
struct VTableOf<F>(F);

impl<F: Future> VTableOf<F> {
    /// The vtable of a task without a name.
    const VTABLE: &'static TaskVTable = &Self::vtable(Layout::new::<Task<F>>(), None);
    /// The vtable of a task with a name.
    const NAMED: &'static TaskVTable = &Self::vtable(
        Layout::new::<NamedTask<F>>(),
        Some(std::mem::offset_of!(NamedTask<F>, name)),
    );

    /// Makes a vtable.
    const fn vtable(layout: Layout, name_offset: Option<usize>) -> TaskVTable {
        TaskVTable {
            node: NodeVTable { deliver: arrive, refuse: arrive, type_name: type_name::<F> },
            poll: poll::<F>,
            panicked: panicked::<F>,
            cancel: cancel::<F>,
            forget: forget::<F>,
            drop_output: drop_output::<F>,
            layout,
            stage_offset: std::mem::offset_of!(Task<F>, stage),
            name_offset,
        }
    }
}

/// Makes a task of the executor `shared`, and puts it into the run queue. The caller gets the join
/// handle's reference. If the executor is ending, the caller has to cancel the task.
///
/// # Safety
///
/// The caller is the owner. What `future` and its output borrow outlives the executor, or the
/// task is complete and its output taken or dropped before.
pub(in crate::task) unsafe fn spawn<F: Future>(
    shared: NonNull<Shared>,
    future: F,
) -> NonNull<Header> {
    // SAFETY: the caller is the owner, which keeps the executor's state alive; **Owner**. The block
    // is made for the vtable's layout.
    unsafe {
        let block = shared.as_ref().core.memory.allocate(Layout::new::<Task<F>>());
        begin(shared, block.cast(), VTableOf::<F>::VTABLE, future)
    }
}

/// Makes a task like [`spawn`], with a name.
///
/// # Safety
///
/// As [`spawn`].
pub(in crate::task) unsafe fn spawn_named<F: Future>(
    shared: NonNull<Shared>,
    name: Name,
    future: F,
) -> NonNull<Header> {
    // SAFETY: as in `spawn`; the task is the first field of a named one.
    unsafe {
        let block = shared.as_ref().core.memory.allocate(Layout::new::<NamedTask<F>>());
        let named = block.cast::<NamedTask<F>>();
        (&raw mut (*named.as_ptr()).name).write(name);
        begin(shared, named.cast(), VTableOf::<F>::NAMED, future)
    }
}

/// Makes a task in a fresh block, and puts it into the run queue.
///
/// # Safety
///
/// As [`spawn`]; the block has the layout of `vtable`, which is one of `F`'s.
#[inline]
unsafe fn begin<F: Future>(
    shared: NonNull<Shared>,
    task: NonNull<Task<F>>,
    vtable: &'static TaskVTable,
    future: F,
) -> NonNull<Header> {
    // SAFETY: the block is fresh, and made for this type; the executor's state is alive.
    unsafe {
        let node = Node { next: Cell::new(ptr::null_mut()), vtable: ptr::from_ref(vtable).cast() };
        task.write(Task {
            header: Header {
                links: TaskNode::new(node),
                shared: ManuallyDrop::new(SharedRef::new(shared)),
                waiter: Cell::new(ptr::null_mut()),
                remote: RemoteWord::new(),
                place: Cell::new(0),
                // The executor's and the join handle's.
                local_references: Cell::new(2),
                flags: Cell::new(QUEUED | HANDLE),
                witness: Witness::new(),
            },
            stage: UnsafeCell::new(Stage { future: ManuallyDrop::new(future) }),
        });
    }
    let header = task.cast::<Header>();
    // SAFETY: **Owner**; the caller keeps the executor's state alive.
    unsafe {
        let core = &shared.as_ref().core;
        enter_table(core, header);
        core.run_queue.push(header.as_ptr().cast());
    }
    header
}

/// Returns the place of the future and the output.
///
/// # Safety
///
/// The task's future has the type `F`.
unsafe fn stage<F: Future>(header: NonNull<Header>) -> *mut Stage<F> {
    // SAFETY: the header is the first field of a `Task<F>`.
    unsafe { (*header.cast::<Task<F>>().as_ptr()).stage.get() }
}

/// Polls the future once. It is ready if it has ended, and the output is in its place.
///
/// # Safety
///
/// The caller is the owner; the future has the type `F` and is in the task.
unsafe fn poll<F: Future>(header: NonNull<Header>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: **Stage**; the future never moves: it is dropped where it was put.
    let future = unsafe { Pin::new_unchecked(&mut *(*stage::<F>(header)).future) };
    // SAFETY: the caller's contract.
    future.poll(cx).map(|output| unsafe { finish::<F>(header, Ok(output)) })
}

/// Drops a future that has panicked, and makes the panic the output.
///
/// # Safety
///
/// The caller is the owner; the future has the type `F`, is in the task, and has thrown `panic`.
unsafe fn panicked<F: Future>(header: NonNull<Header>, panic: Box<dyn Any + Send>) {
    // SAFETY: the caller's contract.
    unsafe { finish::<F>(header, Err(JoinError::panicked(panic))) };
}

/// Drops the future of a task that is cancelled.
///
/// # Safety
///
/// The caller is the owner; the future has the type `F` and is in the task.
unsafe fn cancel<F: Future>(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe { finish::<F>(header, Err(JoinError::cancelled())) };
}

/// Forgets the future of a task that is cancelled, without running its destructor.
///
/// # Safety
///
/// The caller is the owner; the future has the type `F`, is in the task, and was never polled.
unsafe fn forget<F: Future>(header: NonNull<Header>) {
    // SAFETY: **Stage**. The future has never been polled, so it has never been pinned either: this
    // is no more than `mem::forget`.
    unsafe {
        let output = &raw mut (*stage::<F>(header)).output;
        ptr::write(output, ManuallyDrop::new(Err(JoinError::cancelled())));
    }
}

/// Drops the future and puts the output in its place.
///
/// # Safety
///
/// The caller is the owner; the future has the type `F` and is in the task.
unsafe fn finish<F: Future>(header: NonNull<Header>, mut output: Result<F::Output, JoinError>) {
    // SAFETY: **Stage**.
    unsafe {
        let stage = stage::<F>(header);
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            ManuallyDrop::drop(&mut (*stage).future);
        }));
        if let Err(panic) = dropped {
            // The destructor's panic is the outcome. The output is of no use without its future's end.
            drop_ignoring_panic(std::mem::replace(&mut output, Err(JoinError::panicked(panic))));
        }
        ptr::write(&raw mut (*stage).output, ManuallyDrop::new(output));
    }
}

/// Drops the output.
///
/// # Safety
///
/// The caller is the owner; the future has the type `F`, and the output is in the task.
unsafe fn drop_output<F: Future>(header: NonNull<Header>) {
    // SAFETY: **Stage**. The output is moved out first: whatever its destructor does, it is gone.
    drop_ignoring_panic(unsafe { ManuallyDrop::take(&mut (*stage::<F>(header)).output) });
}
