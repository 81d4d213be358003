//! What the questions need of the system: networks of their own, a wire with a delay, threads on
//! processors, and the time that a thread has used. All unsafe code of the bench is here.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Says, in a process that has a network of its own, which question it is for.
const QUESTION: &str = "COREPOLL_BENCH_QUESTION";

/// Returns the question that this process was started for.
pub fn question() -> Option<String> {
    std::env::var(QUESTION).ok()
}

/// Starts this program again for `question`, in a network namespace of its own, and waits for it.
pub fn ask_in_own_network(question: &str) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(QUESTION, question);
    // SAFETY: between fork and exec it makes system calls and nothing else.
    unsafe { command.pre_exec(enter_network) };
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}"))) }
}

/// Moves this thread to a new network namespace, if need be in one of users: unshare(2).
pub fn enter_network() -> io::Result<()> {
    let namespaces = [libc::CLONE_NEWNET, libc::CLONE_NEWUSER | libc::CLONE_NEWNET];
    // SAFETY: takes no pointers.
    let entered = namespaces.into_iter().any(|flags| unsafe { libc::unshare(flags) } == 0);
    if entered { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs ip(8) with `arguments`, which are divided by spaces.
pub fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| io::Error::other(format!("ip of iproute2: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("ip {arguments}: {message}")))
}

/// Returns the number by which the kernel knows the calling thread.
pub fn thread_number() -> i32 {
    // SAFETY: takes no pointers.
    unsafe { libc::gettid() }
}

/// Returns the processors that this process may use: sched_getaffinity(2).
pub fn processors() -> Vec<usize> {
    // SAFETY: all zeros is an empty set, which is writable for its size. 0 names this thread.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        set
    };
    // SAFETY: the numbers are those of the set's own bits.
    let is_in = |number: &usize| unsafe { libc::CPU_ISSET(*number, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(is_in).collect()
}

/// Keeps the calling thread on one processor.
pub fn stay_on(processor: usize) -> io::Result<()> {
    // SAFETY: all zeros is an empty set, which is readable for its size. 0 names this thread.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns the processor time of this process, user and system together.
pub fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The address of this side.
pub const NEAR: &str = "10.77.0.1";
/// The address of the other side.
pub const FAR: &str = "10.77.0.2";

/// Returns what the kernel has counted in this network: a number of `TcpExt` in /proc/net/netstat.
pub fn tcp_counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").expect("procfs");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let place = names.split(' ').position(|it| it == name).expect("a kernel with this counter");
    values.split(' ').nth(place).expect("a value").parse().expect("a number")
}

// ---- a veth pair ----

/// Makes a veth pair between this network and that of the thread number `far`, whose end is left to
/// it. With GRO, so that the device has a queue of its own.
pub fn make_pair(far: i32) -> io::Result<()> {
    ip("link set lo up")?;
    ip(&format!("link add near type veth peer name far netns {far}"))?;
    ip(&format!("addr add {NEAR}/24 dev near"))?;
    give_queue("near")?;
    ip("link set near up")
}

/// Configures the end of the pair in this network.
pub fn configure_far_end() -> io::Result<()> {
    ip(&format!("addr add {FAR}/24 dev far"))?;
    give_queue("far")?;
    ip("link set far up")
}

/// Makes a veth device receive by a queue of its own, which a poller can poll: with GRO, and
/// without TSO, as `ethtool -K NAME gro on tso off` does.
fn give_queue(name: &str) -> io::Result<()> {
    // ETHTOOL_SGRO and ETHTOOL_STSO of linux/ethtool.h, with their values: struct ethtool_value.
    for mut command in [[0x2c_u32, 1], [0x1f, 0]] {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        let mut request = request_for(name);
        request.ifr_ifru.ifru_data = command.as_mut_ptr().cast();
        // SAFETY: the request is an ifreq that names `command`, and both are writable.
        if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &mut request) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// An address behind a device that takes packets and drops them: a veth whose other end is down.
pub const SINK: &str = "10.88.0.2";

/// Makes that device.
pub fn make_sink() -> io::Result<()> {
    ip("link add sink type veth peer name drain")?;
    ip("addr add 10.88.0.1/24 dev sink")?;
    ip("link set sink up")?;
    ip(&format!("neigh add {SINK} lladdr 02:00:00:00:00:02 dev sink"))
}

/// The network of the other end, for other threads.
static FAR_NETWORK: OnceLock<File> = OnceLock::new();

/// Configures the other end of the pair, in the network of the thread number `far`, and remembers
/// that network.
pub fn remember_far_network(far: i32) -> io::Result<()> {
    let network = File::open(format!("/proc/self/task/{far}/ns/net"))?;
    let _ = FAR_NETWORK.set(network);
    thread::spawn(|| {
        enter_far_network()?;
        configure_far_end()
    })
    .join()
    .expect("it doesn't panic")
}

/// Moves this thread to the network of the other end: setns(2).
pub fn enter_far_network() -> io::Result<()> {
    let network = FAR_NETWORK.get().expect("there is a pair");
    // SAFETY: takes no pointers.
    let answer = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns a request about the device `name`.
fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request
}

// ---- a wire with a delay ----

/// Makes a wire that takes `delay` in each direction: what is sent to [`FAR`] comes back to this
/// machine as if it came from there. So a server and a client reach each other through it, both at
/// [`NEAR`].
pub fn make_wire(delay: Duration) -> io::Result<()> {
    let device = tun_device("wire")?;
    ip("link set lo up")?;
    ip(&format!("addr add {NEAR}/24 dev wire"))?;
    ip("link set wire up")?;
    let (give, take) = mpsc::channel::<(Instant, Vec<u8>)>();
    let mut writer = device.try_clone()?;
    let mut reader = device;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok(count) = reader.read(&mut buffer) {
            let mut packet = buffer[..count].to_vec();
            // Source and destination of IPv4 change places, which leaves all checksums as they are.
            if count >= 20 && packet[0] >> 4 == 4 {
                let (source, target) = packet[12..20].split_at_mut(4);
                source.swap_with_slice(target);
                let _ = give.send((Instant::now() + delay, packet));
            }
        }
    });
    thread::spawn(move || {
        let mut waiting: VecDeque<_> = VecDeque::new();
        loop {
            waiting.extend(take.try_iter());
            let Some((due, packet)) = waiting.pop_front() else {
                match take.recv() {
                    Ok(next) => waiting.push_back(next),
                    Err(_) => return,
                }
                continue;
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let _ = writer.write(&packet);
        }
    });
    Ok(())
}

/// Makes a device whose packets are read and written by this program.
fn tun_device(name: &str) -> io::Result<File> {
    let device = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = request_for(name);
    // SAFETY: TUNSETIFF takes an ifreq, which is writable.
    let answer = unsafe {
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &mut request)
    };
    if answer == 0 { Ok(device) } else { Err(io::Error::last_os_error()) }
}

// ---- sending without a copy ----

/// Sends by MSG_ZEROCOPY, or by copies, and counts what the kernel says of its pieces.
pub struct ZeroCopy<'a> {
    socket: BorrowedFd<'a>,
    /// MSG_ZEROCOPY or nothing.
    flag: libc::c_int,
    /// Sends that succeeded without a copy, how many of them are complete, and how many the kernel
    /// has copied all the same.
    sent: u64,
    complete: u64,
    copied: u64,
}

impl<'a> ZeroCopy<'a> {
    pub fn new(socket: &'a impl AsFd, is_on: bool) -> io::Result<ZeroCopy<'a>> {
        let socket = socket.as_fd();
        set_int(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, is_on.into())?;
        let flag = if is_on { libc::MSG_ZEROCOPY } else { 0 };
        Ok(ZeroCopy { socket, flag, sent: 0, complete: 0, copied: 0 })
    }

    /// Sends some of `bytes`. They must not change until [`ZeroCopy::finish`] has returned.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.flag != 0 && self.sent - self.complete >= 16 {
            // As a program would do that has other events to look at, too.
            self.take_completions()?;
        }
        loop {
            let (fd, place) = (self.socket.as_raw_fd(), bytes.as_ptr().cast());
            // SAFETY: `bytes` is readable for its length, and stays as it is by the contract.
            let sent =
                unsafe { libc::send(fd, place, bytes.len(), self.flag | libc::MSG_NOSIGNAL) };
            if sent >= 0 {
                self.sent += u64::from(self.flag != 0);
                return Ok(sent as usize);
            }
            match io::Error::last_os_error() {
                // Too many are on their way: net.core.optmem_max.
                error if error.raw_os_error() == Some(libc::ENOBUFS) && self.flag != 0 => {
                    self.wait()?;
                }
                error => return Err(error),
            }
        }
    }

    /// Waits until all pieces are complete. Returns how many were sent without a copy, and how many
    /// of them were copied all the same.
    pub fn finish(mut self) -> io::Result<(u64, u64)> {
        self.take_completions()?;
        while self.complete < self.sent {
            self.wait()?;
        }
        Ok((self.sent, self.copied))
    }

    /// Waits for a message in the error queue, and takes what there is.
    fn wait(&mut self) -> io::Result<()> {
        let mut asked = libc::pollfd { fd: self.socket.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: `asked` is one valid pollfd.
        if unsafe { libc::poll(&mut asked, 1, 1000) } < 0 {
            return Err(io::Error::last_os_error());
        }
        self.take_completions()
    }

    /// Takes the messages of the error queue, each of which is about a range of pieces.
    fn take_completions(&mut self) -> io::Result<()> {
        loop {
            let mut control = [0u64; 16];
            // SAFETY: all zeros is a valid msghdr; `control` is aligned, writable for its size, and
            // outlives the call. A message of the error queue is a `sock_extended_err`.
            let error = unsafe {
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_control = control.as_mut_ptr().cast();
                message.msg_controllen = size_of_val(&control);
                let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
                if libc::recvmsg(self.socket.as_raw_fd(), &mut message, flags) < 0 {
                    return match io::Error::last_os_error() {
                        error if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                        error => Err(error),
                    };
                }
                let header = libc::CMSG_FIRSTHDR(&message);
                assert!(!header.is_null(), "a message says what it is about");
                libc::CMSG_DATA(header).cast::<libc::sock_extended_err>().read_unaligned()
            };
            let pieces = u64::from(error.ee_data.wrapping_sub(error.ee_info)) + 1;
            self.complete += pieces;
            // SO_EE_CODE_ZEROCOPY_COPIED of linux/errqueue.h.
            self.copied += if error.ee_code & 1 != 0 { pieces } else { 0 };
        }
    }
}

/// Makes the kernel divide each send into datagrams of `bytes`: UDP_SEGMENT.
pub fn segment(socket: &impl AsFd, bytes: libc::c_int) -> io::Result<()> {
    set_int(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, bytes)
}

/// Sets an option that takes an int.
fn set_int(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let (place, size) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the option takes an int, which is readable for its size.
    let answer = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, place, size) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
