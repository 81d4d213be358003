//! Many messages by one system call: sendmmsg(2).

use std::borrow::Borrow;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::ip_address::IpAddress;
use super::options;
use super::syscall::{checked, syscall};
use super::traffic;
use crate::base::error::during;
use crate::base::message::Message;

/// The most messages of one call. What it needs for them is on the stack: 9 KiB.
pub(crate) const MOST_MESSAGES: usize = 64;

/// The control message of UDP_SEGMENT. With its padding it has CMSG_SPACE(2) bytes.
#[repr(C)]
struct SegmentSize {
    /// What it is, and its length without the padding.
    header: libc::cmsghdr,
    /// The bytes of each datagram but the last.
    size: u16,
}

/// What sendmmsg(2) needs for its messages.
///
/// The invariant **Pushed**: the first `count` headers and slices are initialized, as is the address
/// or the control of each header that has a length for it. A slice names the bytes of a message
/// that outlives this value.
struct Outgoing {
    /// What the kernel reads, and where it writes how many bytes it has taken.
    headers: [MaybeUninit<libc::mmsghdr>; MOST_MESSAGES],
    /// The bytes of each message.
    slices: [MaybeUninit<libc::iovec>; MOST_MESSAGES],
    /// The peers of those that name one.
    addresses: [MaybeUninit<IpAddress>; MOST_MESSAGES],
    /// The control messages of those that are to be split.
    controls: [MaybeUninit<SegmentSize>; MOST_MESSAGES],
    /// How many there are.
    count: usize,
    /// Whether one of them is to be split.
    splits: bool,
}

/// Sends the first of `messages`, at most `most` of them, and returns how many were sent and how
/// many bytes they have. No message at all is sent by no system call.
///
/// # Errors
///
/// Returns the error of the first message. That of a later one comes when it is the first.
#[inline]
pub(crate) fn send<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item: Borrow<Message<'a>>>,
    most: usize,
) -> io::Result<(usize, usize)> {
    #[cfg(feature = "sim")]
    if super::sim::current().is_some() {
        // Taken before the simulated kernel is borrowed, as the iterator may be foreign code.
        let taken = messages.take(most.min(MOST_MESSAGES)).map(|message| *message.borrow());
        return send_inside(fd, &taken.collect::<Vec<_>>());
    }
    send_to_linux(fd, messages, most)
}

/// Does the work of [`send`] by Linux.
#[inline]
fn send_to_linux<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item: Borrow<Message<'a>>>,
    most: usize,
) -> io::Result<(usize, usize)> {
    let mut outgoing = Outgoing::new();
    for message in messages.take(most.min(MOST_MESSAGES)) {
        outgoing.push(message.borrow());
    }
    outgoing.send(fd)
}

impl Outgoing {
    #[inline]
    fn new() -> Outgoing {
        Outgoing {
            headers: [const { MaybeUninit::uninit() }; MOST_MESSAGES],
            slices: [const { MaybeUninit::uninit() }; MOST_MESSAGES],
            addresses: [const { MaybeUninit::uninit() }; MOST_MESSAGES],
            controls: [const { MaybeUninit::uninit() }; MOST_MESSAGES],
            count: 0,
            splits: false,
        }
    }

    /// Adds a message, which outlives this value. There is room for it.
    #[inline]
    fn push(&mut self, message: &Message<'_>) {
        let index = self.count;
        let bytes = message.bytes();
        let iov_base = bytes.as_ptr().cast_mut().cast();
        self.slices[index].write(libc::iovec { iov_base, iov_len: bytes.len() });
        // SAFETY: all zeros is a valid mmsghdr: it names nothing.
        let header = self.headers[index].write(unsafe { std::mem::zeroed() });
        if let Some(peer) = message.peer() {
            let (address, length) = IpAddress::from_std(&peer);
            self.addresses[index].write(address);
            header.msg_hdr.msg_namelen = length;
        }
        if let Some(size) = message.segment_size() {
            self.controls[index].write(segment_size(size));
            header.msg_hdr.msg_controllen = size_of::<SegmentSize>() as _;
            self.splits = true;
        }
        self.count = index + 1;
    }

    /// Has each header name what belongs to it, and returns the first.
    fn link(&mut self) -> *mut libc::mmsghdr {
        let (slices, addresses) = (self.slices.as_mut_ptr(), self.addresses.as_mut_ptr());
        let controls = self.controls.as_mut_ptr();
        for (index, header) in self.headers[..self.count].iter_mut().enumerate() {
            // SAFETY: **Pushed**.
            let header = &mut unsafe { header.assume_init_mut() }.msg_hdr;
            header.msg_iov = slices.wrapping_add(index).cast();
            header.msg_iovlen = 1;
            if header.msg_namelen > 0 {
                header.msg_name = addresses.wrapping_add(index).cast();
            }
            if header.msg_controllen > 0 {
                header.msg_control = controls.wrapping_add(index).cast();
            }
        }
        self.headers.as_mut_ptr().cast()
    }

    /// Sends what was pushed.
    #[inline(never)]
    fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<(usize, usize)> {
        if self.count == 0 {
            return Ok((0, 0));
        }
        if self.splits {
            require_segmentation(fd)?;
        }
        let headers = self.link() as usize;
        let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
        let arguments = [fd.as_raw_fd() as usize, headers, self.count, flags, 0, 0];
        // SAFETY: **Pushed**: there are `count` headers, and what they name is readable.
        let sent = match checked(unsafe { syscall(libc::SYS_sendmmsg, arguments) }) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => self.send_one(fd),
            other => other,
        };
        let count = sent.map_err(|error| self.explain(error))?;
        // SAFETY: **Pushed**: no more were sent than there are.
        let lengths =
            self.headers[..count].iter().map(|it| unsafe { it.assume_init_ref() }.msg_len);
        let bytes = lengths.map(|length| length as usize).sum();
        traffic::bytes_out(bytes);
        Ok((count, bytes))
    }

    /// Sends the first message, where a sandbox has no sendmmsg(2): sendmsg(2).
    #[cold]
    fn send_one(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: **Pushed**: there is at least one.
        let header = unsafe { self.headers[0].assume_init_mut() };
        let flags = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as usize;
        let message = &raw const header.msg_hdr as usize;
        let arguments = [fd.as_raw_fd() as usize, message, flags, 0, 0, 0];
        // SAFETY: **Pushed**: what the header names is readable.
        header.msg_len = checked(unsafe { syscall(libc::SYS_sendmsg, arguments) })? as _;
        Ok(1)
    }

    /// Returns the error of the first message, and says so if it may be that it can't be split.
    #[cold]
    fn explain(&self, error: io::Error) -> io::Error {
        // SAFETY: **Pushed**: there is at least one.
        let first = unsafe { self.headers[0].assume_init_ref() };
        if first.msg_hdr.msg_controllen == 0 || error.kind() == io::ErrorKind::WouldBlock {
            return error;
        }
        refused(error)
    }
}

/// Returns the control message that has the kernel split a message. The kernel refuses sizes that
/// don't fit into a packet, so that a larger one may be cut to what the field can hold.
#[inline]
fn segment_size(size: usize) -> SegmentSize {
    // SAFETY: all zeros is a valid cmsghdr.
    let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
    // SAFETY: the macro only computes.
    header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) } as _;
    header.cmsg_level = libc::SOL_UDP;
    header.cmsg_type = libc::UDP_SEGMENT;
    SegmentSize { header, size: u16::try_from(size).unwrap_or(u16::MAX) }
}

/// Returns an error if the kernel does not know UDP_SEGMENT: before Linux 4.18 it passes the control
/// message over, and would send one long datagram.
#[inline]
fn require_segmentation(fd: BorrowedFd<'_>) -> io::Result<()> {
    /// Whether the kernel has been found to know it.
    static IS_KNOWN: AtomicBool = AtomicBool::new(false);
    if IS_KNOWN.load(Ordering::Relaxed) {
        return Ok(());
    }
    options::get_int(fd, libc::SOL_UDP, libc::UDP_SEGMENT).map_err(refused)?;
    IS_KNOWN.store(true, Ordering::Relaxed);
    Ok(())
}

/// Sends messages inside of a simulation.
#[cfg(feature = "sim")]
fn send_inside(fd: BorrowedFd<'_>, messages: &[Message<'_>]) -> io::Result<(usize, usize)> {
    simulated!(fd.as_raw_fd(), kernel => send_simulated(&mut kernel, fd, messages));
    send_to_linux(fd, messages.iter(), messages.len())
}

/// Sends messages by the simulated kernel, as sendmmsg(2) does.
#[cfg(feature = "sim")]
fn send_simulated(
    kernel: &mut super::sim::World,
    fd: BorrowedFd<'_>,
    messages: &[Message<'_>],
) -> io::Result<(usize, usize)> {
    let (mut sent, mut bytes) = (0, 0);
    for message in messages {
        let (slices, segment_size) = ([io::IoSlice::new(message.bytes())], message.segment_size());
        let peer = message.peer().map(socket2::SockAddr::from);
        let size = segment_size.map_or(0, |size| size.min(usize::from(u16::MAX)));
        match kernel.send_to(fd.as_raw_fd(), &slices, peer.as_ref(), size) {
            Ok(count) => (sent, bytes) = (sent + 1, bytes + count),
            // That of a later one is lost.
            Err(_) if sent > 0 => break,
            Err(error) if segment_size.is_none() => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => return Err(refused(error)),
        }
    }
    traffic::bytes_out(bytes);
    Ok((sent, bytes))
}

/// Returns the error of a message that can't be split.
#[cold]
fn refused(error: io::Error) -> io::Error {
    during("sending a message of several datagrams (UDP_SEGMENT)", error)
}

/// Sets UDP_GRO: udp(7).
///
/// # Errors
///
/// Returns the error of setsockopt(2), and names the option.
pub(crate) fn set_gro(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    simulated!(fd.as_raw_fd(), kernel => kernel.set_gro(fd.as_raw_fd(), on));
    let set = options::set_int(fd, libc::SOL_UDP, libc::UDP_GRO, on.into());
    set.map_err(|error| during("setting UDP_GRO", error))
}
