//! The system call instruction, and how the answers of the kernel and of libc become results.
//!
//! glibc's `recv`, `send` and `epoll_wait` are cancellation points: pthreads(7). In a process with
//! threads each of them sets that state up and takes it down, which is about a tenth of the user
//! time of a small request. No thread here is ever cancelled, so the request path calls the kernel
//! directly, and so do accept4(2) and close(2). On architectures without an instruction below, libc's
//! `syscall` does the same.

use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

/// Converts the kernel's answer to a count or an error.
#[inline(always)]
pub(super) fn checked(answer: isize) -> io::Result<usize> {
    if answer < 0 {
        return Err(failed(answer));
    }
    Ok(answer as usize)
}

/// The kernel's answer to a system call: a count, or a negated errno.
///
/// The request path looks at it as it is: one comparison tells the usual answer, which an
/// `io::Result` would be made of first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer(isize);

impl Answer {
    /// The answer to a call that has done nothing.
    pub(crate) const NOTHING: Answer = Answer(0);

    /// Takes what [`syscall`] has returned.
    #[inline(always)]
    pub(super) fn of(answer: isize) -> Answer {
        Answer(answer)
    }

    /// Returns the count, unless it is zero or the call has failed.
    #[inline(always)]
    pub(crate) fn positive(self) -> Option<usize> {
        if self.0 > 0 { Some(self.0 as usize) } else { None }
    }

    /// Returns `true` if all of `length` bytes were taken: the length of a slice.
    #[inline(always)]
    pub(crate) fn is_all_of(self, length: usize) -> bool {
        self.0 == length as isize
    }

    /// Returns the count or the error of bytes that were to be moved in or out.
    ///
    /// EINPROGRESS is the answer of a send whose bytes didn't fit into the SYN that it caused, by
    /// TCP_FASTOPEN_CONNECT: nothing was taken, and there is room when the connection is made. So it
    /// becomes `WouldBlock`.
    #[inline(always)]
    pub(crate) fn result(self) -> io::Result<usize> {
        if self.0 < 0 {
            return Err(not_moved(self.0));
        }
        Ok(self.0 as usize)
    }
}

#[cfg(feature = "sim")]
impl From<io::Result<usize>> for Answer {
    /// Converts the answer of the simulated kernel, whose errors are Linux's.
    fn from(answer: io::Result<usize>) -> Answer {
        Answer(match answer {
            Ok(count) => count as isize,
            Err(error) => -(error.raw_os_error().unwrap_or(libc::EIO) as isize),
        })
    }
}

/// Converts the answer of a function of libc, which is -1 after an error, with the reason in errno.
pub(super) fn libc_answer(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// Converts a negated errno to an error. It is out of line because the compiler would otherwise
/// prepare the error before it knows whether there is one.
#[cold]
#[inline(never)]
fn failed(answer: isize) -> io::Error {
    io::Error::from_raw_os_error(-answer as i32)
}

/// Converts the negated errno of a call that moves bytes to an error: see [`Answer::result`].
#[cold]
#[inline(never)]
fn not_moved(answer: isize) -> io::Error {
    let is_under_way = answer == -(libc::EINPROGRESS as isize);
    failed(if is_under_way { -(libc::EAGAIN as isize) } else { answer })
}

/// Calls the kernel; the answer is a count or a negated errno.
///
/// # Safety
///
/// The arguments are valid for the system call `number`, as its man page has them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn syscall(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the caller vouches for the arguments. The kernel clobbers rcx and r11, keeps every
    // other register (syscall(2)), and leaves the red zone alone.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// Calls recvfrom(2) or sendto(2), which is `number`, without an address. Returns the answer, and the
/// bytes that it was given.
///
/// They are the same, in the same registers, which the kernel keeps. But the compiler knows that only
/// of a value that comes out: what goes in and is needed afterwards it keeps elsewhere, in a register
/// that it has to save first. That took three to six instructions of each call.
///
/// # Safety
///
/// `bytes` are readable for sendto, and writable for recvfrom.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn move_bytes(
    number: libc::c_long,
    fd: RawFd,
    bytes: NonNull<[u8]>,
    flags: libc::c_int,
) -> (isize, NonNull<[u8]>) {
    let (answer, start, length): (isize, *mut u8, usize);
    // SAFETY: the caller vouches for the bytes, and no address is given or asked for. The registers
    // are those of `syscall`.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") fd as usize,
            inlateout("rsi") bytes.as_ptr().cast::<u8>() => start,
            inlateout("rdx") bytes.len() => length,
            in("r10") flags as usize,
            in("r8") 0_usize,
            in("r9") 0_usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
        (answer, NonNull::slice_from_raw_parts(NonNull::new_unchecked(start), length))
    }
}

/// Calls recvfrom(2) or sendto(2), which is `number`, without an address. Returns the answer, and the
/// bytes that it was given.
///
/// # Safety
///
/// `bytes` are readable for sendto, and writable for recvfrom.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) unsafe fn move_bytes(
    number: libc::c_long,
    fd: RawFd,
    bytes: NonNull<[u8]>,
    flags: libc::c_int,
) -> (isize, NonNull<[u8]>) {
    let start = bytes.as_ptr().cast::<u8>() as usize;
    let arguments = [fd as usize, start, bytes.len(), flags as usize, 0, 0];
    // SAFETY: the caller vouches for the bytes, and no address is given or asked for.
    (unsafe { syscall(number, arguments) }, bytes)
}

/// Calls the kernel; the answer is a count or a negated errno.
///
/// # Safety
///
/// The arguments are valid for the system call `number`, as its man page has them.
#[cfg(all(target_arch = "aarch64", not(target_feature = "sve")))]
#[inline(always)]
pub(super) unsafe fn syscall(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the caller vouches for the arguments. The kernel keeps every register but x0
    // (syscall(2)), and those of SVE, which code without that feature doesn't use.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] as isize => answer,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    answer
}

/// Calls the kernel; the answer is a count or a negated errno.
///
/// # Safety
///
/// The arguments are valid for the system call `number`, as its man page has them.
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", not(target_feature = "sve"))
)))]
pub(super) unsafe fn syscall(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the caller vouches for the arguments.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == -1 {
        return -(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) as isize);
    }
    answer as isize
}
