//! Where the allocations of tasks come from and go to.
//!
//! Servers spawn the same few kinds of future over and over. Blocks that come back are kept by
//! size, so that the next spawn takes one without asking the allocator.

use std::alloc::{self, Layout};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};

/// Sizes are kept apart in steps of this: no block is larger than its task.
const STEP: usize = 8;
/// Larger blocks are rare, and the allocator's share in them is small.
const LARGEST: usize = 1024;
/// Blocks kept of each size: enough for the coming and going of a turn, and a bound on the memory
/// that a burst leaves behind.
const MOST_KEPT: u32 = 1024;

/// Free blocks by size. The owner's alone.
pub(super) struct Memory {
    /// For each size: the first free block, each holding the address of the next. Allocated at
    /// the first block that comes back.
    lists: UnsafeCell<Vec<List>>,
}

#[derive(Clone, Copy)]
struct List {
    first: *mut u8,
    length: u32,
}

/// Which list a layout belongs to, if any.
fn class(layout: Layout) -> Option<usize> {
    let fits = layout.size() <= LARGEST && layout.align() <= STEP && layout.size() >= STEP;
    fits.then(|| layout.size().div_ceil(STEP))
}

/// The layout with which blocks of `layout` really are allocated.
fn whole(layout: Layout) -> Layout {
    layout.align_to(STEP).expect("a small alignment").pad_to_align()
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { lists: UnsafeCell::new(Vec::new()) }
    }

    /// A block for `layout`, whose size is not zero.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(super) unsafe fn allocate(&self, layout: Layout) -> NonNull<u8> {
        // SAFETY: **Owner**; the borrow ends before anything else runs.
        let lists = unsafe { &mut *self.lists.get() };
        if let Some(list) = class(layout).and_then(|class| lists.get_mut(class))
            && let Some(block) = NonNull::new(list.first)
        {
            // SAFETY: a free block holds the address of the next one.
            list.first = unsafe { block.cast::<*mut u8>().read() };
            list.length -= 1;
            return block;
        }
        allocate(layout)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// The caller is the owner; `block` came from [`allocate`] or `Memory::allocate` with
    /// this layout, and nobody uses it any more.
    pub(super) unsafe fn release(&self, block: NonNull<u8>, layout: Layout) {
        if cfg!(loom) {
            return; // As below.
        }
        // SAFETY: **Owner**; the borrow ends before anything else runs.
        let lists = unsafe { &mut *self.lists.get() };
        if lists.is_empty() {
            lists.resize(LARGEST / STEP + 1, List { first: ptr::null_mut(), length: 0 });
        }
        match class(layout).map(|class| &mut lists[class]) {
            Some(list) if list.length < MOST_KEPT => {
                // SAFETY: the block is unused, aligned to 8 and at least 8 bytes large.
                unsafe { block.cast::<*mut u8>().write(list.first) };
                list.first = block.as_ptr();
                list.length += 1;
            }
            // SAFETY: by the contract of this function.
            _ => unsafe { release(block, layout) },
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for (class, list) in self.lists.get_mut().iter().enumerate() {
            let layout = Layout::from_size_align(class * STEP, STEP).expect("a small layout");
            let mut block = list.first;
            while let Some(free) = NonNull::new(block) {
                // SAFETY: a free block holds the address of the next one, and was allocated with
                // the layout of its class.
                block = unsafe { free.cast::<*mut u8>().read() };
                // SAFETY: as above.
                unsafe { alloc::dealloc(free.as_ptr(), layout) };
            }
        }
    }
}

/// A block for `layout` from the allocator, on any thread. The size is not zero.
pub(super) fn allocate(layout: Layout) -> NonNull<u8> {
    debug_assert!(layout.size() > 0);
    let layout = whole(layout);
    // SAFETY: the size is not zero.
    let block = unsafe { alloc::alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Gives a block back to the allocator, on any thread.
///
/// # Safety
/// `block` came from [`allocate`] or `Memory::allocate` with this layout, and nobody uses it
/// any more.
pub(super) unsafe fn release(block: NonNull<u8>, layout: Layout) {
    if cfg!(loom) {
        return; // A model keeps the memory, so that its `Witness` sees a use after this.
    }
    // SAFETY: by the contract of this function.
    unsafe { alloc::dealloc(block.as_ptr(), whole(layout)) };
}
