//! The allocations of tasks, and the free blocks that are kept for the next ones.
//!
//! Servers spawn the same few kinds of future over and over. Blocks that are freed are kept by size, so
//! that the next spawn takes one without a call of the allocator.
//!
//! A block is freed by the thread that drops the last reference. On the owner's thread it goes to
//! the lists; on any other, straight to the allocator, since the lists are the owner's alone.

use std::alloc::{self, Layout};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// The alignment of a task's header, and the step from one size of blocks to the next: no block is
/// larger than its task. `raw::typed` asserts that it is that alignment.
pub(super) const STEP: usize = align_of::<AtomicU64>();
/// The largest size that is kept. Larger blocks are rare, and the allocator's share in their cost is
/// small.
const LARGEST: usize = 1024;
/// The free blocks that are kept of each size: enough for the tasks that begin and end in a turn, and a
/// bound on the memory that a burst leaves behind.
const MAX_FREE_BLOCKS: u32 = 1024;
/// Whether blocks are kept at all. A sanitizer sees no use of a block after its end if it is kept,
/// so these turn it off: `.ci/deep`.
const KEEPS: bool = !cfg!(any(loom, corepoll_no_free_lists));

/// Free blocks by size. Touched by the owner alone.
pub(super) struct Memory {
    /// One list for each size. Allocated when the first block is freed.
    lists: UnsafeCell<Vec<List>>,
}

/// The free blocks of one size.
#[derive(Clone, Copy)]
struct List {
    /// The first block, or null. Each block holds the address of the next.
    first: *mut u8,
    /// The number of blocks.
    length: u32,
}

/// Returns the list that a layout belongs to, if any: the one for its size and alignment exactly.
fn class(layout: Layout) -> Option<usize> {
    let fits = KEEPS && layout.size() <= LARGEST && layout.align() == STEP;
    // A size is a multiple of its alignment: this is a task's layout.
    fits.then(|| layout.size() / STEP)
}

/// Returns the layout of a list's blocks.
fn layout_of(class: usize) -> Layout {
    Layout::from_size_align(class * STEP, STEP).expect("a small layout")
}

impl Memory {
    /// Makes an empty store, which has allocated nothing.
    pub(super) fn new() -> Memory {
        Memory { lists: UnsafeCell::new(Vec::new()) }
    }

    /// Returns a block for `layout`, which is that of a task.
    ///
    /// # Safety
    ///
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

    /// Keeps a block for the next task, or returns it to the allocator.
    ///
    /// # Safety
    ///
    /// The caller is the owner; `block` came from [`allocate`] or `Memory::allocate` with
    /// this layout, and it is not used any more.
    pub(super) unsafe fn release(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: **Owner**; the borrow ends before anything else runs.
        let lists = unsafe { &mut *self.lists.get() };
        if lists.is_empty() {
            lists.resize(LARGEST / STEP + 1, List { first: ptr::null_mut(), length: 0 });
        }
        match class(layout).map(|class| &mut lists[class]) {
            Some(list) if list.length < MAX_FREE_BLOCKS => {
                // SAFETY: the block is unused, and was a header, which holds pointers.
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
            let mut block = list.first;
            while let Some(free) = NonNull::new(block) {
                // SAFETY: a free block holds the address of the next one, and was allocated with
                // the layout of its class.
                block = unsafe { free.cast::<*mut u8>().read() };
                // SAFETY: as above.
                unsafe { release(free, layout_of(class)) };
            }
        }
    }
}

/// Returns a block for `layout` from the allocator, on any thread. The size is not zero.
pub(super) fn allocate(layout: Layout) -> NonNull<u8> {
    debug_assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    let block = unsafe { alloc::alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Returns a block to the allocator, on any thread.
///
/// # Safety
///
/// `block` came from [`allocate`] or `Memory::allocate` with this layout, and it is not used any
/// more.
pub(super) unsafe fn release(block: NonNull<u8>, layout: Layout) {
    if cfg!(loom) {
        return; // A model keeps the memory, so that its `Witness` sees a use after this.
    }
    // SAFETY: by the contract of this function.
    unsafe { alloc::dealloc(block.as_ptr(), layout) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, STEP).unwrap()
    }

    /// Every size that a list may have, and some that none has.
    fn layouts() -> impl Iterator<Item = Layout> {
        (7 * STEP..=LARGEST + 64).step_by(STEP).map(layout)
    }

    #[test]
    fn a_list_is_for_one_layout() {
        for layout in layouts() {
            let class = class(layout);
            assert_eq!(class.is_some(), KEEPS && layout.size() <= LARGEST);
            assert!(class.is_none_or(|class| layout_of(class) == layout));
            assert_eq!(super::class(layout.align_to(2 * STEP).unwrap()), None);
        }
    }

    /// By writing all of each block, too: a sanitizer sees one that is too small.
    #[test]
    fn a_block_that_came_back_is_for_its_own_size() {
        let memory = Memory::new();
        for layout in layouts() {
            // SAFETY: this thread is the owner; each block is written, released once and with its layout.
            unsafe {
                let first = memory.allocate(layout);
                first.write_bytes(1, layout.size());
                memory.release(first, layout);
                let larger = self::layout(layout.size() + STEP);
                let other = memory.allocate(larger);
                other.write_bytes(2, larger.size());
                let again = memory.allocate(layout);
                again.write_bytes(3, layout.size());
                if class(layout).is_some() {
                    assert_eq!(again, first, "it was kept");
                    assert_ne!(other, first, "it is too small");
                }
                memory.release(again, layout);
                memory.release(other, larger);
            }
        }
    }

    #[test]
    fn no_more_than_so_many_are_kept_of_each_size() {
        let memory = Memory::new();
        let sizes = [8 * STEP, LARGEST];
        for layout in sizes.map(layout) {
            // SAFETY: this thread is the owner; each block is released once and with its layout.
            unsafe {
                let blocks: Vec<_> =
                    (0..MAX_FREE_BLOCKS + 100).map(|_| memory.allocate(layout)).collect();
                blocks.into_iter().for_each(|block| memory.release(block, layout));
                let lists = &*memory.lists.get();
                let kept = if KEEPS { MAX_FREE_BLOCKS } else { 0 };
                assert_eq!(lists.get(layout.size() / STEP).map(|list| list.length), Some(kept));
            }
        }
    }
}
