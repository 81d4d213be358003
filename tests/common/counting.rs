//! An allocator that counts: what is allocated for each thread apart, and what is left for all.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

thread_local! {
    /// It has no destructor, so it can be counted until the thread is gone.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Blocks and bytes that this thread has allocated, less those that it has freed.
    static LIVE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counted: `tests/it/main.rs` makes it the allocator of its process.
#[derive(Debug)]
pub struct Counting;

/// Blocks that are allocated and not freed, and their bytes.
static BLOCKS: AtomicIsize = AtomicIsize::new(0);
static BYTES: AtomicIsize = AtomicIsize::new(0);

/// How many blocks are allocated in the whole process, and how many bytes they have.
pub fn live() -> (isize, isize) {
    (BLOCKS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed))
}

/// As [`live`], but only what the calling thread has allocated and freed: the thread of the test
/// harness allocates when it likes.
pub fn live_here() -> (isize, isize) {
    LIVE.with(Cell::get)
}

/// There are so many more.
fn live_more(blocks: isize, bytes: usize, bytes_less: usize) {
    let more = bytes as isize - bytes_less as isize;
    BLOCKS.fetch_add(blocks, Ordering::Relaxed);
    BYTES.fetch_add(more, Ordering::Relaxed);
    LIVE.with(|live| live.set((live.get().0 + blocks, live.get().1 + more)));
}

/// How many allocations the calling thread has made. A reallocation is one as well.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        live_more(1, layout.size(), 0);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        live_more(1, layout.size(), 0);
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        live_more(0, size, layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        live_more(-1, 0, layout.size());
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}
