//! Many messages by one system call: recvmmsg(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::ip_address::IpAddress;
use super::syscall::{checked, syscall};
use super::traffic;
use crate::base::message::Message;

/// The bytes of a line of the processor's cache.
const LINE: usize = 64;

/// The room for control messages. UDP_GRO's has 24 bytes; the rest is for those that the kernel
/// writes before it if a user has asked for them: timestamps, dropped datagrams, marks.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 256]);

/// The control message of UDP_GRO, as the simulated kernel writes it.
#[cfg(feature = "sim")]
#[repr(C)]
struct SegmentSize {
    /// What it is, and its length without the padding.
    header: libc::cmsghdr,
    /// The bytes of each datagram but the last.
    size: libc::c_int,
}

#[cfg(feature = "sim")]
impl SegmentSize {
    /// Returns the message that tells of `size`.
    fn new(size: usize) -> SegmentSize {
        // SAFETY: all zeros is a valid cmsghdr.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        // SAFETY: the macro only computes.
        header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<libc::c_int>() as u32) } as _;
        (header.cmsg_level, header.cmsg_type) = (libc::SOL_UDP, libc::UDP_GRO);
        SegmentSize { header, size: size as libc::c_int }
    }
}

/// Room for messages, with what recvmmsg(2) needs to fill it. It is set up once, and a call changes
/// only what the last one has written.
///
/// The invariant **Slots**: header `i` names slice `i`, address `i` and control `i`, and slice `i`
/// names `size` bytes of `bytes` from `i * stride` on, which no other slice names. No vector is changed in length, so
/// none is moved, and what they hold is borrowed by no other code during a call.
pub(crate) struct Slots {
    /// The bytes of all messages.
    bytes: Vec<u8>,
    /// The bytes of one message.
    size: usize,
    /// How far the messages lie apart.
    stride: usize,
    /// The senders.
    addresses: Vec<IpAddress>,
    /// Where the bytes of each message go.
    slices: Vec<libc::iovec>,
    /// The control messages.
    controls: Vec<Control>,
    /// What the kernel reads and writes.
    headers: Vec<libc::mmsghdr>,
    /// How many messages the last call has received.
    used: usize,
}

// SAFETY: **Slots**: the pointers lead into vectors of the same value, and move with it.
unsafe impl Send for Slots {}
// SAFETY: by a shared reference nothing is written.
unsafe impl Sync for Slots {}

/// What a call has received.
pub(crate) struct Received {
    /// The messages.
    pub(crate) count: usize,
    /// The bytes of all of them.
    pub(crate) bytes: usize,
    /// Whether the call has found nothing behind the last message, or an error, which the next call
    /// returns.
    pub(crate) is_last: bool,
}

impl Slots {
    /// Makes room for `count` messages of `size` bytes each.
    pub(crate) fn new(count: usize, size: usize) -> Slots {
        // Each begins with a line of the cache, and not all with lines of one set: messages that
        // lie apart by a power of two would drive each other out of it.
        let stride = size.next_multiple_of(LINE) + LINE;
        let mut slots = Slots {
            // The allocator gives zeros by itself, and no page of it is in memory before the kernel
            // writes there.
            bytes: vec![0; count * stride],
            size,
            stride,
            addresses: vec![IpAddress::UNSPECIFIED; count],
            slices: Vec::with_capacity(count),
            controls: vec![Control([0; 256]); count],
            headers: Vec::with_capacity(count),
            used: 0,
        };
        let base = slots.bytes.as_mut_ptr();
        for index in 0..count {
            // In bounds, and only an address: nothing is read.
            let iov_base = base.wrapping_add(index * stride).cast();
            slots.slices.push(libc::iovec { iov_base, iov_len: size });
        }
        let [addresses, slices] =
            [slots.addresses.as_mut_ptr().cast::<u8>(), slots.slices.as_mut_ptr().cast::<u8>()];
        let controls = slots.controls.as_mut_ptr();
        for index in 0..count {
            // SAFETY: all zeros is a valid mmsghdr: it names nothing.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = addresses.wrapping_add(index * size_of::<IpAddress>()).cast();
            header.msg_hdr.msg_iov = slices.wrapping_add(index * size_of::<libc::iovec>()).cast();
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls.wrapping_add(index).cast();
            slots.headers.push(header);
        }
        slots.used = count;
        slots.clear();
        slots
    }

    /// Forgets the messages, and gives their headers the room that the kernel has taken for used.
    pub(crate) fn clear(&mut self) {
        for header in &mut self.headers[..self.used] {
            header.msg_hdr.msg_namelen = IpAddress::ROOM;
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        self.used = 0;
    }

    /// Returns for how many messages there is room.
    pub(crate) fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Returns how many messages the last call has received.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Receives at most `most` messages.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, most: usize) -> io::Result<Received> {
        self.clear();
        let most = most.min(self.headers.len());
        simulated!(fd.as_raw_fd(), kernel => self.receive_simulated(&mut kernel, fd, most));
        let headers = self.headers.as_mut_ptr() as usize;
        let flags = libc::MSG_DONTWAIT as usize;
        let arguments = [fd.as_raw_fd() as usize, headers, most, flags, 0, 0];
        let mut is_last = false;
        // SAFETY: **Slots**: there are `most` headers, and what they name is writable.
        match checked(unsafe { syscall(libc::SYS_recvmmsg, arguments) }) {
            Ok(count) => {
                self.used = count;
                is_last = count < most;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => self.receive_one(fd)?,
            Err(error) => return Err(error),
        }
        let bytes = self.headers[..self.used].iter().map(|header| header.msg_len as usize).sum();
        traffic::bytes_in(bytes);
        Ok(Received { count: self.used, bytes, is_last })
    }

    /// Receives one message, where a sandbox has no recvmmsg(2): recvmsg(2).
    #[cold]
    fn receive_one(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let Some(header) = self.headers.first_mut() else { return Ok(()) };
        let message = &raw mut header.msg_hdr as usize;
        let arguments = [fd.as_raw_fd() as usize, message, libc::MSG_DONTWAIT as usize, 0, 0, 0];
        // SAFETY: **Slots**: what the header names is writable.
        header.msg_len = checked(unsafe { syscall(libc::SYS_recvmsg, arguments) })? as _;
        self.used = 1;
        Ok(())
    }

    /// Receives at most `most` messages of the simulated kernel, as recvmmsg(2) does.
    #[cfg(feature = "sim")]
    fn receive_simulated(
        &mut self,
        kernel: &mut super::sim::World,
        fd: BorrowedFd<'_>,
        most: usize,
    ) -> io::Result<Received> {
        let (size, mut bytes) = (self.size, 0);
        while self.used < most {
            let index = self.used;
            let room = &mut self.bytes[index * self.stride..][..size];
            let mut fill = |bytes: &[u8]| room[..bytes.len()].copy_from_slice(bytes);
            match kernel.receive_from(fd.as_raw_fd(), &mut fill, size, false) {
                Ok(received) => {
                    bytes += received.length;
                    self.describe(index, &received);
                    self.used += 1;
                }
                Err(error) if index == 0 => return Err(error),
                Err(error) => {
                    let code = error.raw_os_error().unwrap_or(libc::EIO);
                    if code != libc::EAGAIN {
                        // The next call returns it.
                        kernel.put_error(fd.as_raw_fd(), code);
                    }
                    break;
                }
            }
        }
        traffic::bytes_in(bytes);
        Ok(Received { count: self.used, bytes, is_last: self.used < most })
    }

    /// Writes what the kernel writes beside the bytes of a message.
    #[cfg(feature = "sim")]
    fn describe(&mut self, index: usize, received: &super::sim::Received) {
        let header = &mut self.headers[index];
        header.msg_len = received.length as _;
        let from = received.from.as_socket().map(|from| IpAddress::from_std(&from));
        header.msg_hdr.msg_namelen = from.map_or(0, |(_, length)| length);
        self.addresses[index] = from.map_or(IpAddress::UNSPECIFIED, |(from, _)| from);
        header.msg_hdr.msg_flags = if received.is_truncated { libc::MSG_TRUNC } else { 0 };
        header.msg_hdr.msg_controllen = 0;
        if received.segment_size > 0 {
            let control = self.controls.as_mut_ptr().wrapping_add(index);
            // SAFETY: **Slots**: the control message goes to where its header says, which has room
            // for it and is aligned as it is.
            unsafe { control.cast::<SegmentSize>().write(SegmentSize::new(received.segment_size)) };
            header.msg_hdr.msg_controllen = size_of::<SegmentSize>() as _;
        }
    }

    /// Returns a message of the last call.
    #[inline]
    pub(crate) fn message(&self, index: usize) -> Option<Message<'_>> {
        let header = self.headers[..self.used].get(index)?;
        let (start, length) = (index * self.stride, (header.msg_len as usize).min(self.size));
        let message = Message::to_connected(&self.bytes[start..start + length]);
        let header = &header.msg_hdr;
        let has_name = header.msg_namelen > 0;
        let peer = if has_name { self.addresses[index].as_std() } else { None };
        // Most have no control message.
        let segment_size = if header.msg_controllen > 0 { segment_size(header) } else { 0 };
        let is_truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        Some(message.with_peer(peer).with_segment_size(segment_size).with_truncated(is_truncated))
    }
}

/// Returns the size that UDP_GRO tells of, or 0. The control messages are those of a receive.
#[inline(never)]
fn segment_size(header: &libc::msghdr) -> usize {
    let mut size: libc::c_int = 0;
    // SAFETY: **Slots**: the kernel has written `msg_controllen` bytes of control messages, which
    // these macros walk through. The value of UDP_GRO is an int, which may be unaligned; the last
    // message may have lost its value (MSG_CTRUNC), and has a length that says so.
    unsafe {
        let whole = libc::CMSG_LEN(size_of_val(&size) as libc::c_uint) as usize;
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            let is_size =
                (*control).cmsg_level == libc::SOL_UDP && (*control).cmsg_type == libc::UDP_GRO;
            if is_size && (*control).cmsg_len as usize >= whole {
                let value = libc::CMSG_DATA(control);
                ptr::copy_nonoverlapping(value, (&raw mut size).cast(), size_of_val(&size));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    size.max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room for a control message, and what lies behind it.
    #[repr(C, align(8))]
    struct Room(libc::cmsghdr, [u8; 8]);

    #[test]
    fn a_size_that_was_cut_off_is_none() {
        // SAFETY: all zeros is valid for both: they name nothing.
        let (mut header, control): (libc::msghdr, libc::cmsghdr) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let mut room = Room(control, [7; 8]);
        (room.0.cmsg_level, room.0.cmsg_type) = (libc::SOL_UDP, libc::UDP_GRO);
        let sevens = i32::from_ne_bytes([7; 4]) as usize;
        for (value, expected) in [(4, sevens), (3, 0), (0, 0)] {
            let length = size_of::<libc::cmsghdr>() + value;
            room.0.cmsg_len = length as _;
            header.msg_controllen = length as _;
            header.msg_control = (&raw mut room).cast();
            assert_eq!(segment_size(&header), expected, "{value} bytes of it are there");
        }
    }
}
