//! A kernel that refuses: a test makes system calls answer an errno, by seccomp(2).
//!
//! Nothing takes a filter away again, so this is for a process of the test's own
//! ([`in_own_process`](super::in_own_process)). Where the kernel has no seccomp,
//! the test fails and says so.
//!
//! ```ignore
//! in_own_process(|| {
//!     // Every splice of the process fails.
//!     refuse(libc::SYS_splice, libc::ENOSYS);
//!     // Adding to an epoll instance fails; modifying and removing don't.
//!     refuse_if(libc::SYS_epoll_ctl, &[(1, libc::EPOLL_CTL_ADD as u32)], libc::ENOSPC);
//!     // The first accept4 fails, for this thread and the threads that it starts from now on.
//!     let mut first = true;
//!     decide(libc::SYS_accept4, move |_| take(&mut first).then_some(libc::ETIMEDOUT));
//! });
//! ```
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;
use std::thread;

use libc::{c_int, c_long, c_uint, c_ulong, sock_filter, sock_fprog};

/// Makes the system call `number` fail with `errno`, from now on and in all threads.
#[track_caller]
pub fn refuse(number: c_long, errno: c_int) {
    refuse_if(number, &[], errno);
}

/// Makes the system call `number` fail with `errno` where each of the `arguments`, given as their
/// place and their lower 32 bits, is as it says. From now on, in all threads.
#[track_caller]
pub fn refuse_if(number: c_long, arguments: &[(usize, u32)], errno: c_int) {
    let action = libc::SECCOMP_RET_ERRNO | errno as c_uint;
    install(&filter(number, arguments, action), libc::SECCOMP_FILTER_FLAG_TSYNC);
}

/// Asks `decide` about each system call `number` that this thread, or a thread that it starts from
/// now on, makes. It gets the arguments, and gives the errno with which the call fails, or `None`:
/// then the kernel does what it was asked for. It must neither make that call itself nor wait for
/// a thread that does. A thread can have one of these, for itself and all that it starts.
#[track_caller]
pub fn decide(number: c_long, mut decide: impl FnMut([u64; 6]) -> Option<c_int> + Send + 'static) {
    decide_among(&[number], move |_, arguments| decide(arguments));
}

/// As [`decide`], for several system calls: it gets the number as well.
#[track_caller]
pub fn decide_among(
    numbers: &[c_long],
    decide: impl FnMut(c_long, [u64; 6]) -> Option<c_int> + Send + 'static,
) {
    let (give, take) = mpsc::channel();
    // It is started before there is a filter, so that none holds for it.
    let supervisor = move || {
        if let Ok(listener) = take.recv() {
            supervise(&listener, decide);
        }
    };
    thread::Builder::new().name("refuse".into()).spawn(supervisor).expect("a thread");
    let mut program = Vec::new();
    for number in numbers {
        program.extend(filter(*number, &[], libc::SECCOMP_RET_USER_NOTIF));
        // What this one lets pass is for the next.
        program.pop();
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let listener = install(&program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: with this flag the answer is a descriptor that is ours: seccomp(2).
    let listener = unsafe { OwnedFd::from_raw_fd(listener) };
    give.send(listener).expect("the supervisor waits");
}

/// Answers for the kernel, until no thread is left that could ask.
fn supervise(listener: &OwnedFd, mut decide: impl FnMut(c_long, [u64; 6]) -> Option<c_int>) {
    loop {
        // SAFETY: all zeros is a valid request, and what the kernel asks for.
        let mut request: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        if !control(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut request) {
            return;
        }
        let mut response = libc::seccomp_notif_resp { id: request.id, val: 0, error: 0, flags: 0 };
        match decide(c_long::from(request.data.nr), request.data.args) {
            Some(errno) => response.error = -errno,
            None => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        }
        // It fails if the thread that has asked is gone, or was interrupted: then it asks again.
        control(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut response);
    }
}

/// Returns `false` if the call fails for another reason than an interruption.
fn control<T>(listener: &OwnedFd, request: libc::Ioctl, argument: &mut T) -> bool {
    loop {
        // SAFETY: the callers pair each request with its structure, which outlives the call.
        if unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut *argument) } == 0 {
            return true;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
}

/// A program that gives `action` for the system call `number` with these `arguments`, and lets all
/// others pass.
fn filter(number: c_long, arguments: &[(usize, u32)], action: c_uint) -> Vec<sock_filter> {
    // struct seccomp_data: the number, the architecture, the address; then six arguments of 64 bits.
    let lower_half = if cfg!(target_endian = "big") { 4 } else { 0 };
    let place_of = |argument: usize| (16 + 8 * argument + lower_half) as u32;
    let number = [(0, number as u32)].into_iter();
    let tests = number.chain(arguments.iter().map(|&(at, value)| (place_of(at), value)));

    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump_if_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut program = Vec::new();
    // Each test that fails jumps over all that is left, and over the action.
    let mut to_the_end = 2 * arguments.len() as u8 + 1;
    for (place, value) in tests {
        program.push(step(load, place, 0));
        program.push(step(jump_if_equal, value, to_the_end));
        to_the_end = to_the_end.saturating_sub(2);
    }
    program.extend([answer(action), answer(libc::SECCOMP_RET_ALLOW)]);
    program
}

fn answer(action: c_uint) -> sock_filter {
    step(libc::BPF_RET | libc::BPF_K, action, 0)
}

fn step(code: c_uint, k: u32, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf, k }
}

/// Returns the kernel's answer.
#[track_caller]
fn install(program: &[sock_filter], flags: c_ulong) -> c_int {
    let program = sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: takes no pointers. Without privileges it is the condition for a filter: seccomp(2).
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(answer, 0, "prctl: {}", io::Error::last_os_error());
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` and the steps that it names outlive the call, which reads them.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    assert!(
        answer >= 0,
        "this test needs seccomp(2) with filters (CONFIG_SECCOMP_FILTER, and a container that \
         allows them): {}",
        io::Error::last_os_error(),
    );
    assert!(
        flags & libc::SECCOMP_FILTER_FLAG_TSYNC == 0 || answer == 0,
        "thread {answer} has a filter of its own that this one doesn't build on",
    );
    answer as c_int
}
