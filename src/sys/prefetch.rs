//! Loading memory into the caches before it is read.

/// Asks the processor for the cache lines in which a `T` at `address` begins and ends. Nothing waits
/// for them, and there need be no `T`.
#[inline]
pub(crate) fn prefetch<T>(address: *const T) {
    line(address.cast());
    line(address.wrapping_add(1).wrapping_byte_sub(1).cast());
}

/// Asks for the cache line of `address`.
#[inline]
fn line(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction changes nothing that a program could notice, and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}
