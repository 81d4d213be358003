//! `RecvBatch`: where the messages of one receive go.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use crate::base::message::Message;
use crate::sys::recv_batch::Slots;

/// The most messages of a batch: the most that recvmmsg(2) takes.
const MOST_MESSAGES: usize = 1024;
/// The longest message: no datagram of IP is longer, and none that the kernel has joined.
const LONGEST_MESSAGE: usize = 65_535;

/// Room for messages that are received by one system call, and the messages of the last one.
///
/// It is allocated once, and received into again and again. Its memory is the messages times their
/// size, and some 500 bytes a message; pages that the kernel has not written to take none.
///
/// # Examples
///
/// ```
/// use corepoll::net::UdpSocket;
/// use corepoll::net::udp::RecvBatch;
///
/// # fn main() -> std::io::Result<()> {
/// corepoll::block_on(async {
///     let socket = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     for text in ["one", "two", "three"] {
///         client.send_to(text.as_bytes(), socket.local_addr()?)?;
///     }
///
///     let mut batch = RecvBatch::new(32, 1500);
///     assert_eq!(socket.recv_batch(&mut batch).await?, 3);
///     for message in &batch {
///         assert_eq!(message.peer(), Some(client.local_addr()?));
///         println!("{:?}", message.bytes());
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct RecvBatch {
    /// The messages.
    slots: Slots,
}

impl RecvBatch {
    /// Makes room for `messages` messages of `size` bytes each. Of a longer message the rest is
    /// lost.
    ///
    /// 32 messages are enough to make little of what a system call costs. With
    /// [`set_gro`](crate::net::UdpSocket::set_gro) the size should be 65,535, and 1,500 suffices
    /// otherwise if no peer sends more than a packet. There are 1 to 1,024 messages of 1 to 65,535
    /// bytes: what is less or more is taken for the nearest.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::RecvBatch;
    /// assert_eq!(RecvBatch::new(32, 1500).capacity(), 32);
    /// assert_eq!(RecvBatch::new(0, 1500).capacity(), 1);
    /// ```
    pub fn new(messages: usize, size: usize) -> RecvBatch {
        let (messages, size) = (messages.clamp(1, MOST_MESSAGES), size.clamp(1, LONGEST_MESSAGE));
        RecvBatch { slots: Slots::new(messages, size) }
    }

    /// Returns for how many messages there is room.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::RecvBatch;
    /// assert_eq!(RecvBatch::new(8, 1500).capacity(), 8);
    /// ```
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Returns the number of messages of the last receive.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::RecvBatch;
    /// assert_eq!(RecvBatch::new(8, 1500).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns `true` if there are no messages.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::RecvBatch;
    /// assert!(RecvBatch::new(8, 1500).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the message at `index`, in the order in which they came.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # use corepoll::net::udp::RecvBatch;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"one", socket.local_addr()?).await?;
    /// let mut batch = RecvBatch::new(8, 1500);
    /// socket.recv_batch(&mut batch).await?;
    /// assert_eq!(batch.get(0).unwrap().bytes(), b"one");
    /// assert!(batch.get(1).is_none());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> Option<Message<'_>> {
        self.slots.message(index)
    }

    /// Returns the messages in the order in which they came. The iterator can be cloned, so that
    /// all of them can be sent by [`send_batch`](crate::net::UdpSocket::send_batch).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # use corepoll::net::udp::RecvBatch;
    /// # corepoll::block_on(async {
    /// # let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// # client.send_to(b"hello", socket.local_addr()?)?;
    /// let mut batch = RecvBatch::new(32, 1500);
    /// socket.recv_batch(&mut batch).await?;
    /// // Back to where they came from.
    /// socket.send_batch(batch.iter()).await?;
    /// # assert_eq!(client.recv(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn iter(&self) -> Messages<'_> {
        Messages { slots: &self.slots, left: 0..self.slots.len() }
    }

    /// Forgets the messages of the last receive.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Returns the room for the messages.
    pub(crate) fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a RecvBatch {
    type Item = Message<'a>;
    type IntoIter = Messages<'a>;

    #[inline]
    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}

/// The messages of a [`RecvBatch`].
///
/// # Examples
///
/// ```
/// use corepoll::net::udp::{Messages, RecvBatch};
///
/// let batch = RecvBatch::new(8, 1500);
/// let messages: Messages<'_> = batch.iter();
/// assert_eq!(messages.len(), 0);
/// ```
#[derive(Clone)]
pub struct Messages<'a> {
    /// The messages.
    slots: &'a Slots,
    /// The places of those that are left.
    left: Range<usize>,
}

impl fmt::Debug for Messages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        self.left.next().and_then(|index| self.slots.message(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }

    fn nth(&mut self, skipped: usize) -> Option<Message<'a>> {
        self.left.nth(skipped).and_then(|index| self.slots.message(index))
    }
}

impl ExactSizeIterator for Messages<'_> {}

impl FusedIterator for Messages<'_> {}
