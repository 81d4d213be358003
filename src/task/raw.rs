//! One task: one allocation that holds the header, the future and later its output.

use std::alloc::Layout;
use std::any::{Any, type_name};
use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use crate::base::sync::{Cell, Witness};

use super::calls::TypeName;
use super::home::{Home, HomeRef};
use super::inbox::{Node, NodeVTable};
use super::join::{JoinError, JoinWaiter};
use super::memory;
use super::state::{
    ABORTED, COMPLETE, HANDLE, MERGED, MOST_DRIFT, MOST_REFERENCES, OUTPUT, QUEUED, RETIRED,
    RemoteWord,
};
use super::{current, ending, waker};

/// The part of a task that doesn't depend on its future.
#[repr(C)]
pub(super) struct Header {
    /// Its place in the inbox, and its vtable. First, so that a node is a header.
    node: Node,
    /// Where it lives. Counted, so that a waker finds the inbox even after the poller's end.
    home: ManuallyDrop<HomeRef>,
    /// The task behind this one in the run queue.
    pub(super) queue_next: Cell<*mut Header>,
    /// Who waits for the output.
    pub(super) waiter: JoinWaiter,
    /// The owner's count of references.
    local_references: Cell<i32>,
    /// Everybody else's count, and two bits.
    remote: RemoteWord,
    /// Its place in the home's table of tasks.
    place: Cell<u32>,
    /// The owner's bits: see `state`.
    pub(super) flags: Cell<u32>,
    /// For the models.
    witness: Witness,
}

/// What can be done to a task whose future has some type.
#[repr(C)]
struct TaskVTable {
    /// First, so that a vtable of a task is one of a node.
    node: NodeVTable,
    /// Polls the future once; true: it has ended, and the output is in its place. May throw.
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// Drops a future that has thrown, and leaves what it threw as the output.
    panicked: unsafe fn(NonNull<Header>, Box<dyn Any + Send>),
    /// Drops the future and leaves [`JoinError::cancelled`] as the output.
    cancel: unsafe fn(NonNull<Header>),
    /// As `cancel`, but a future that was never polled is forgotten: its destructor doesn't run.
    forget: unsafe fn(NonNull<Header>),
    /// Drops the output.
    drop_output: unsafe fn(NonNull<Header>),
    /// The allocation.
    layout: Layout,
    /// Where output is found, from the header's address on.
    stage_offset: usize,
    /// Where the name is found, if the task has one.
    name_offset: Option<usize>,
}

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

/// What a task may be called.
pub(super) type Name = Cow<'static, str>;

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

/// Calls foreign code; what it throws is thrown away.
pub(crate) fn call_quietly(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call))
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
    {
        // A payload whose own destructor panics is not worth another try.
        std::mem::forget(second);
    }
}

/// Drops a foreign value; what its destructor throws is thrown away.
pub(crate) fn drop_quietly<T>(value: T) {
    call_quietly(|| drop(value));
}

/// Makes a task on `home` and puts it into the run queue. The caller gets the join handle's
/// reference.
///
/// # Safety
/// The caller is the owner. What `future` and its output borrow outlives the executor, or the
/// task is complete and its output taken or dropped before.
pub(super) unsafe fn spawn<F: Future>(home: NonNull<Home>, future: F) -> NonNull<Header> {
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
pub(super) unsafe fn spawn_named<F: Future>(
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
                // The executor's and the join handle's.
                local_references: Cell::new(2),
                remote: RemoteWord::new(),
                place: Cell::new(0),
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

/// Puts a task into the table of tasks.
///
/// # Safety
/// The caller is the owner; the task is alive.
unsafe fn enter_table(side: &super::home::OwnerSide, header: NonNull<Header>) {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    unsafe {
        let tasks = &mut *side.tasks.get();
        if tasks.len() == tasks.capacity() {
            // By little: what stays unused of the table counts as memory of its tasks, and a large
            // block grows where it is.
            tasks.reserve_exact((tasks.len() / 32).max(64));
        }
        header.as_ref().place.set(tasks.len() as u32);
        tasks.push(header);
    }
    side.spawned.set(side.spawned.get() + 1);
}

/// Takes a task out of the table of tasks.
///
/// # Safety
/// The caller is the owner; the task is alive and in the table.
unsafe fn leave_table(side: &super::home::OwnerSide, header: NonNull<Header>) {
    // SAFETY: **Owner**; nothing foreign runs while the table is borrowed.
    unsafe {
        let tasks = &mut *side.tasks.get();
        let place = header.as_ref().place.get();
        tasks.swap_remove(place as usize);
        if let Some(moved) = tasks.get(place as usize) {
            moved.as_ref().place.set(place);
        }
    }
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
            drop_quietly(std::mem::replace(&mut output, Err(JoinError::panicked(panic))));
        }
        ptr::write(&raw mut (*stage).output, ManuallyDrop::new(output));
    }
}

/// # Safety
/// The caller is the owner; the future has the type `F`, and the output is in the task.
unsafe fn drop_output<F: Future>(header: NonNull<Header>) {
    // SAFETY: **Stage**. The output is moved out first: whatever its destructor does, it is gone.
    drop_quietly(unsafe { ManuallyDrop::take(&mut (*stage::<F>(header)).output) });
}

impl Header {
    fn vtable(&self) -> &'static TaskVTable {
        // SAFETY: the vtable of a header's node is the beginning of a static TaskVTable.
        unsafe { &*self.node.vtable.cast::<TaskVTable>() }
    }

    fn set_flag(&self, flag: u32) {
        self.flags.set(self.flags.get() | flag);
    }

    fn clear_flag(&self, flag: u32) {
        self.flags.set(self.flags.get() & !flag);
    }

    #[inline]
    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    /// Whether this thread is the owner and keeps its own count for this task.
    #[inline]
    fn counts_locally(&self) -> bool {
        current::get() == self.home.pointer().as_ptr() && !self.has(MERGED)
    }

    /// The owner counts one reference more.
    #[inline]
    fn one_more(&self) {
        let count = self.local_references.get() + 1;
        self.local_references.set(count);
        if count >= MOST_DRIFT {
            self.even_out();
        }
    }

    /// The owner counts one reference less.
    #[inline]
    fn one_less(&self) {
        let count = self.local_references.get() - 1;
        self.local_references.set(count);
        if count <= -MOST_DRIFT {
            self.even_out();
        }
    }

    /// Adds the remote count to the owner's: one side has made many references that the other
    /// side has dropped.
    #[cold]
    fn even_out(&self) {
        let count = self.local_references.get() + self.remote.take_references();
        if count >= MOST_REFERENCES {
            std::process::abort();
        }
        self.local_references.set(count);
    }
}

/// One reference more, on any thread.
///
/// # Safety
/// The caller holds a reference.
#[inline]
pub(super) unsafe fn add_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive.
    let task = unsafe { header.as_ref() };
    task.witness.used();
    if task.counts_locally() {
        task.one_more();
    } else {
        task.remote.add_reference();
    }
}

/// One reference less, on any thread.
///
/// # Safety
/// The caller gives a reference up. It is not the executor's, and not the join handle's.
#[inline]
pub(super) unsafe fn drop_reference(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive until here.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        if task.counts_locally() {
            // Never the last: the executor holds one as long as counts are kept apart.
            task.one_less();
        } else if task.remote.drop_reference() {
            free(header);
        }
    }
}

/// Makes the task run, on any thread.
///
/// # Safety
/// The caller holds a reference.
#[inline]
pub(super) unsafe fn wake(header: NonNull<Header>) {
    // SAFETY: the caller's reference keeps it alive, and it keeps its home alive.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        if current::get() == task.home.pointer().as_ptr() {
            wake_here(header);
        } else if task.remote.mail() {
            wake_by_mail(header);
        }
    }
}

/// Makes the task run, on its own thread.
///
/// # Safety
/// The caller is the owner, and the task is alive.
#[inline]
unsafe fn wake_here(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        let task = header.as_ref();
        if !task.has(QUEUED | COMPLETE) {
            task.set_flag(QUEUED);
            let owner = &task.home.as_ref().owner;
            owner.wakes.set(owner.wakes.get() + 1);
            owner.enqueue(header.as_ptr());
        }
    }
}

/// Sends the task to its owner. Out of line: the local path stays small.
///
/// # Safety
/// The caller holds a reference and has just turned the MAILED bit on.
#[cold]
unsafe fn wake_by_mail(header: NonNull<Header>) {
    // SAFETY: **Link**: the bit makes the link ours; the caller's reference keeps the home alive.
    unsafe {
        let task = header.as_ref();
        if !task.home.as_ref().mail(header.as_ptr().cast()) {
            // The inbox was closed, and the executor has left its reference to us.
            let was_last = task.remote.drop_reference();
            debug_assert!(!was_last, "the waker that woke the task still counts");
        }
    }
}

/// The task has come out of the inbox: queues it, if it isn't complete.
///
/// # Safety
/// The caller is the owner; `node` is a task that it has just taken out of its inbox.
unsafe fn arrive(node: *mut Node) {
    // SAFETY: **Link**: the executor's reference keeps a mailed task alive.
    unsafe {
        let header = NonNull::new_unchecked(node.cast::<Header>());
        let task = header.as_ref();
        task.witness.used();
        task.remote.unmail();
        if !task.has(COMPLETE) {
            let owner = &task.home.as_ref().owner;
            let wakes = owner.wakes.get();
            wake_here(header);
            owner.wakes.set(wakes);
            owner.wakes_by_mail.set(owner.wakes_by_mail.get() + 1);
        } else if !task.has(QUEUED) {
            release_executors(header);
        }
    }
}

/// Runs a task that was just taken out of the run queue. Throws what its future throws; then the
/// caller calls [`run_panicked`].
///
/// # Safety
/// The caller is the owner.
#[inline]
pub(super) unsafe fn run(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps a queued task alive, as does `complete` until its end.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        let flags = task.flags.get();
        task.flags.set(flags & !QUEUED);
        if flags & (COMPLETE | ABORTED) != 0 {
            return run_ended(header);
        }
        let waker = waker::borrowed(header);
        if (task.vtable().poll)(header, &mut Context::from_waker(&waker)) {
            complete(header);
        }
    }
}

/// The future has thrown out of [`run`]: the task ends with that.
///
/// # Safety
/// The caller is the owner, and `run` has just thrown `panic` for this task.
#[cold]
pub(super) unsafe fn run_panicked(header: NonNull<Header>, panic: Box<dyn Any + Send>) {
    // SAFETY: only a poll throws, so the future is still in the task, and the task is alive.
    unsafe {
        (header.as_ref().vtable().panicked)(header, panic);
        complete(header);
    }
}

/// The rarer half of [`run`]: the task was aborted, or has ended while it was queued.
///
/// # Safety
/// The caller is the owner; the task has just left the run queue.
#[cold]
unsafe fn run_ended(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        let task = header.as_ref();
        if !task.has(COMPLETE) {
            (task.vtable().cancel)(header);
            complete(header);
        } else if !task.remote.load().is_mailed() {
            release_executors(header);
        }
    }
}

/// Drops the future of a task that is not complete.
///
/// # Safety
/// The caller is the owner; the task is not being polled.
pub(super) unsafe fn cancel_now(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        (header.as_ref().vtable().cancel)(header);
        complete(header);
    }
}

/// As [`cancel_now`], but the future's destructor doesn't run.
///
/// # Safety
/// The caller is the owner; the task is not complete, and has never been polled.
#[cold]
pub(super) unsafe fn forget_now(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        (header.as_ref().vtable().forget)(header);
        complete(header);
    }
}

/// The future has ended, and its output is in place: tells whoever waits, and lets go.
///
/// # Safety
/// The caller is the owner, and this is the first time.
unsafe fn complete(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps the task alive until `retire`.
    unsafe {
        let task = header.as_ref();
        task.set_flag(COMPLETE | OUTPUT);
        leave_table(&task.home.as_ref().owner, header);
        if !task.has(HANDLE) {
            take_output_away(header);
        } else if let Some(waiter) = task.waiter.take() {
            // A foreign waker may panic, or drop the join handle.
            call_quietly(|| waiter.wake());
        }
        retire(header);
    }
}

/// Drops the output if it is still there.
///
/// # Safety
/// The caller is the owner; the task is alive.
unsafe fn take_output_away(header: NonNull<Header>) {
    // SAFETY: **Stage**: OUTPUT says that the output is there; from here on it isn't.
    unsafe {
        let task = header.as_ref();
        if task.has(OUTPUT) {
            task.clear_flag(OUTPUT);
            (task.vtable().drop_output)(header);
        }
    }
}

/// The executor is done with a complete task. If nobody but the join handle has a reference, which
/// is so for most tasks, that is found without an atomic write; else the counts become one.
///
/// Why a plain look is enough: `remote` is a sum over a prefix of the changes that others
/// made. That prefix and all that the owner did form a consistent cut: what the owner
/// depends on from others, it has seen (coherence), and what they depend on from the owner has
/// happened. If the sum of both counts in that cut is the owner's own references and no more, no
/// other reference exists, and none can come to be, as each is made from one that exists. And
/// a wake that is on its way shows: its MAILED bit was turned on before its waker was dropped.
///
/// # Safety
/// The caller is the owner; the task is complete, and this is the first time.
unsafe fn retire(header: NonNull<Header>) {
    // SAFETY: the executor's reference keeps it alive; it is given up last.
    unsafe {
        let task = header.as_ref();
        let remote = task.remote.load();
        let own = 1 + i32::from(task.has(HANDLE));
        if !remote.is_mailed() && task.local_references.get() + remote.references() == own {
            // Nobody is left who could change or read the remote count.
            task.local_references.set(own);
            if !task.has(QUEUED) {
                release_executors(header);
            }
            return;
        }
        task.set_flag(MERGED);
        let merged = task.remote.merge(task.local_references.get());
        if !merged.is_mailed() && !task.has(QUEUED) {
            release_executors(header);
        }
    }
}

/// Gives the executor's reference up.
///
/// # Safety
/// The caller is the owner; the task is complete, has been through [`retire`], and is in no queue.
unsafe fn release_executors(header: NonNull<Header>) {
    // SAFETY: the reference that is given up keeps it alive until here.
    unsafe {
        let task = header.as_ref();
        if task.has(MERGED) {
            if task.remote.drop_reference() {
                free(header);
            }
            return;
        }
        task.set_flag(RETIRED);
        task.local_references.set(task.local_references.get() - 1);
        if task.local_references.get() == 0 {
            free(header);
        }
    }
}

/// Asks for the future to be dropped instead of polled next.
///
/// # Safety
/// The caller is the owner, or the task is complete; the task is alive.
pub(super) unsafe fn abort(header: NonNull<Header>) {
    // SAFETY: the caller's contract.
    unsafe {
        if !header.as_ref().has(COMPLETE) {
            header.as_ref().set_flag(ABORTED);
            wake(header);
        }
    }
}

/// Moves the output out.
///
/// # Safety
/// The caller is on the owner's thread; OUTPUT is on, and `T` is the type of the future's output.
pub(super) unsafe fn take_output<T>(header: NonNull<Header>) -> Result<T, JoinError> {
    // SAFETY: **Stage**; the output stands at the stage's offset, as a union's field does.
    unsafe {
        let task = header.as_ref();
        task.clear_flag(OUTPUT);
        header.cast::<u8>().add(task.vtable().stage_offset).cast::<Result<T, JoinError>>().read()
    }
}

/// Gives the join handle's reference up.
///
/// # Safety
/// The caller is on the owner's thread and holds that reference.
pub(super) unsafe fn drop_handle(header: NonNull<Header>) {
    // SAFETY: the handle's reference keeps it alive until it is given up.
    unsafe {
        let task = header.as_ref();
        task.witness.used();
        // Foreign destructors run here, and the task is still counted while they do. The waiter's
        // first: whatever it calls may complete the task, and its output would be left behind.
        drop_quietly(task.waiter.take());
        if task.has(COMPLETE) {
            take_output_away(header);
        }
        task.clear_flag(HANDLE);
        if task.has(MERGED) {
            if task.remote.drop_reference() {
                free(header);
            }
            return;
        }
        task.local_references.set(task.local_references.get() - 1);
        if task.has(RETIRED) && task.local_references.get() == 0 {
            free(header);
        }
    }
}

/// The task's name, if it has one.
///
/// # Safety
/// The task lives for `'a`, and `header` may be used for the whole of its block.
pub(super) unsafe fn name<'a>(header: NonNull<Header>) -> Option<&'a Name> {
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
pub(super) unsafe fn future_type(header: NonNull<Header>) -> TypeName {
    // SAFETY: the caller's contract.
    unsafe { header.as_ref().vtable().node.type_name }
}

/// Gives the memory back. Future and output are gone.
///
/// # Safety
/// Nobody else has a reference.
unsafe fn free(header: NonNull<Header>) {
    // SAFETY: the caller's contract; the block was allocated with the vtable's layout.
    unsafe {
        header.as_ref().witness.freed();
        let TaskVTable { layout, name_offset, .. } = *header.as_ref().vtable();
        if let Some(offset) = name_offset {
            // Plain data, so it may be dropped on any thread.
            header.cast::<u8>().add(offset).cast::<Name>().drop_in_place();
        }
        let home = ManuallyDrop::take(&mut (*header.as_ptr()).home);
        if home.is_current() {
            home.as_ref().owner.memory.release(header.cast(), layout);
        } else {
            memory::release(header.cast(), layout);
        }
    }
}

// 56 bytes beyond the future: the figure of the README's table stands or falls with this.
const _: () = assert!(size_of::<Header>() == 56 || cfg!(loom));
