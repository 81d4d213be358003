//! Which listener of a SO_REUSEPORT group gets a connection.
//!
//! By default the kernel takes a hash of the four-tuple. A classic BPF program may choose instead
//! (socket(7)): it returns the number of a socket in the group.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::syscall::libc_answer;

/// The offset at which a classic BPF program reads the number of the processor that runs it. No
/// packet has this offset: bpf(2), linux/filter.h.
const CURRENT_CPU: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32;

/// Makes the SO_REUSEPORT group of `listener` choose a socket by processor.
///
/// The kernel handles the first packet of a connection on some processor, and the socket with that
/// processor's number modulo `count` gets the connection. `count` is the size of the group, whose
/// sockets are numbered in the order in which they began to listen.
pub(crate) fn by_cpu(listener: BorrowedFd<'_>, count: usize) -> io::Result<()> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, CURRENT_CPU),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let program =
        libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_mut_ptr() };
    // SAFETY: the option takes a sock_fprog, which is readable for its size and names
    // instructions that are alive. The kernel copies them and keeps no pointer.
    let answer = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    libc_answer(answer).map(drop)
}

/// Returns an instruction that does not jump.
fn instruction(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}
