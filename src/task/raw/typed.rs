//! The part of a task that depends on the type of its future: its memory, and what is done there.

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
use crate::task::ending;
use crate::task::home::{Home, HomeRef};
use crate::task::ignore_panic::drop_ignoring_panic;
use crate::task::inbox::{Node, NodeVTable};
use crate::task::join::{JoinError, JoinWaiter};
use crate::task::state::{HANDLE, QUEUED, RemoteWord};

use super::header::{Header, Name, TaskVTable};
use super::life::enter_table;
use super::waking::arrive;

/// A task whose future has the type `F`.
#[repr(C)]
struct Task<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// A task with a name. Others don't pay for it: it stands behind them.
#[repr(C)]
struct NamedTask<F: Future> {
    task: Task<F>,
    /// Never changed, and dropped with the memory.
    name: Name,
}

/// The future until COMPLETE, the output while OUTPUT, and nothing after that. Both stand at the
/// offset 0.
#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

struct VTableOf<F>(F);

impl<F: Future> VTableOf<F> {
    const VTABLE: &'static TaskVTable = &Self::vtable(Layout::new::<Task<F>>(), None);
    const NAMED: &'static TaskVTable = &Self::vtable(
        Layout::new::<NamedTask<F>>(),
        Some(std::mem::offset_of!(NamedTask<F>, name)),
    );

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

/// Makes a task on `home` and puts it into the run queue. The caller gets the join handle's
/// reference.
///
/// # Safety
/// The caller is the owner. What `future` and its output borrow outlives the executor, or the
/// task is complete and its output taken or dropped before.
pub(in crate::task) unsafe fn spawn<F: Future>(home: NonNull<Home>, future: F) -> NonNull<Header> {
    // SAFETY: the caller is the owner, which keeps the home alive; **Owner**. The block is made
    // for the vtable's layout.
    unsafe {
        let block = home.as_ref().owner.memory.allocate(Layout::new::<Task<F>>());
        begin(home, block.cast(), VTableOf::<F>::VTABLE, future)
    }
}

/// As [`spawn`], for a task with a name.
///
/// # Safety
/// As [`spawn`].
pub(in crate::task) unsafe fn spawn_named<F: Future>(
    home: NonNull<Home>,
    name: Name,
    future: F,
) -> NonNull<Header> {
    // SAFETY: as in `spawn`; the task is the first field of a named one.
    unsafe {
        let block = home.as_ref().owner.memory.allocate(Layout::new::<NamedTask<F>>());
        let named = block.cast::<NamedTask<F>>();
        (&raw mut (*named.as_ptr()).name).write(name);
        begin(home, named.cast(), VTableOf::<F>::NAMED, future)
    }
}

/// Makes a task in a fresh block, and puts it into the run queue.
///
/// # Safety
/// As [`spawn`]; the block has the layout of `vtable`, which is one of `F`'s.
#[inline]
unsafe fn begin<F: Future>(
    home: NonNull<Home>,
    task: NonNull<Task<F>>,
    vtable: &'static TaskVTable,
    future: F,
) -> NonNull<Header> {
    // SAFETY: the caller is the owner, which keeps the home alive.
    let side = unsafe { &home.as_ref().owner };
    // SAFETY: the block is fresh, and made for this type; the home is alive.
    unsafe {
        task.write(Task {
            header: Header {
                node: Node {
                    next: Cell::new(ptr::null_mut()),
                    vtable: ptr::from_ref(vtable).cast(),
                },
                home: ManuallyDrop::new(HomeRef::new(home)),
                queue_next: Cell::new(ptr::null_mut()),
                waiter: JoinWaiter::new(),
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
    // SAFETY: **Owner**.
    unsafe {
        enter_table(side, header);
        side.enqueue(header.as_ptr());
        if side.closing.get() {
            ending::end_late(home.as_ref(), header);
        }
    }
    header
}

/// The future's and output's place.
///
/// # Safety
/// The task's future has the type `F`.
unsafe fn stage<F: Future>(header: NonNull<Header>) -> *mut Stage<F> {
    // SAFETY: the header is the first field of a `Task<F>`.
    unsafe { (*header.cast::<Task<F>>().as_ptr()).stage.get() }
}

/// # Safety
/// The caller is the owner; the future has the type `F` and is in the task.
unsafe fn poll<F: Future>(header: NonNull<Header>, cx: &mut Context<'_>) -> bool {
    // SAFETY: **Stage**; the future never moves: it is dropped where it was put.
    let future = unsafe { Pin::new_unchecked(&mut *(*stage::<F>(header)).future) };
    let Poll::Ready(output) = future.poll(cx) else { return false };
    // SAFETY: the caller's contract.
    unsafe { finish::<F>(header, Ok(output)) };
    true
}

/// # Safety
/// The caller is the owner; the future has the type `F`, is in the task, and has thrown `panic`.
unsafe fn panicked<F: Future>(header: NonNull<Header>, panic: Box<dyn Any + Send>) {
    // SAFETY: the caller's contract.
    unsafe { finish::<F>(header, Err(JoinError::panicked(panic))) };
}

/// # Safety
/// The caller is the owner; the future has the type `F` and is in the task.
unsafe fn cancel<F: Future>(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe { finish::<F>(header, Err(JoinError::cancelled())) };
}

/// # Safety
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
/// The caller is the owner; the future has the type `F` and is in the task.
unsafe fn finish<F: Future>(header: NonNull<Header>, mut output: Result<F::Output, JoinError>) {
    // SAFETY: **Stage**.
    unsafe {
        let stage = stage::<F>(header);
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            ManuallyDrop::drop(&mut (*stage).future);
        }));
        if let Err(panic) = dropped {
            drop_ignoring_panic(std::mem::replace(&mut output, Err(JoinError::panicked(panic))));
        }
        ptr::write(&raw mut (*stage).output, ManuallyDrop::new(output));
    }
}

/// # Safety
/// The caller is the owner; the future has the type `F`, and the output is in the task.
unsafe fn drop_output<F: Future>(header: NonNull<Header>) {
    // SAFETY: **Stage**. The output is moved out first: whatever its destructor does, it is gone.
    drop_ignoring_panic(unsafe { ManuallyDrop::take(&mut (*stage::<F>(header)).output) });
}
