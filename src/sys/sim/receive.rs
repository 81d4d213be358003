//! How received bytes reach the buffers of the caller.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::mark::Reading;
use super::world::World;

impl World {
    /// Receives into `buffer`, with the flags of recv(2).
    pub(crate) fn recv(
        &mut self,
        fd: RawFd,
        buffer: &mut [u8],
        flags: libc::c_int,
    ) -> io::Result<usize> {
        let peeks = flags & libc::MSG_PEEK != 0;
        if flags & libc::MSG_OOB != 0 {
            self.pass_a_call();
            self.run_due();
            let Some(byte) = self.tcp_of(fd)?.1.recv_urgent(peeks)? else { return Ok(0) };
            if let Some(place) = buffer.first_mut() {
                *place = byte;
            }
            return Ok(buffer.len().min(1));
        }
        let (most, mut filled) = (buffer.len(), 0);
        let mut fill = |bytes: &[u8]| {
            buffer[filled..][..bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        };
        let reading = if peeks { Reading::Peek } else { Reading::Take };
        self.receive(fd, &mut fill, most, reading)
    }

    /// Receives into `buffer`, which need not be initialized.
    pub(crate) fn recv_uninit(
        &mut self,
        fd: RawFd,
        buffer: &mut [MaybeUninit<u8>],
    ) -> io::Result<usize> {
        let (most, mut filled) = (buffer.len(), 0);
        let mut fill = |bytes: &[u8]| {
            for (place, byte) in buffer[filled..].iter_mut().zip(bytes) {
                place.write(*byte);
            }
            filled += bytes.len();
        };
        self.receive(fd, &mut fill, most, Reading::Take)
    }

    /// Receives into `slices`, one after the other: recvmsg(2).
    pub(crate) fn recv_vectored(
        &mut self,
        fd: RawFd,
        slices: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        let most = slices.iter().map(|slice| slice.len()).sum();
        let (mut index, mut filled) = (0, 0);
        let mut fill = |mut bytes: &[u8]| {
            while !bytes.is_empty() {
                let room = &mut slices[index][filled..];
                let count = room.len().min(bytes.len());
                room[..count].copy_from_slice(&bytes[..count]);
                (bytes, filled) = (&bytes[count..], filled + count);
                if filled == slices[index].len() {
                    (index, filled) = (index + 1, 0);
                }
            }
        };
        self.receive(fd, &mut fill, most, Reading::Take)
    }
}
