//! `Message`: what one call sends or receives on a socket for datagrams.

use std::fmt;
use std::net::SocketAddr;

/// One datagram, or several of one peer that lie behind each other and are of one size.
///
/// That there may be several is up to UDP's segmentation: the kernel splits what is sent (GSO,
/// UDP_SEGMENT of udp(7)) and joins what is received (GRO, UDP_GRO), which saves it most of the work
/// of each datagram. All have [`segment_size`](Message::segment_size) bytes but the last, which may
/// be shorter. [`Message::datagrams`] returns them one by one, also where there is only one.
///
/// # Examples
///
/// ```
/// use corepoll::net::udp::Message;
///
/// let peer = "127.0.0.1:4433".parse().unwrap();
/// let message = Message::new(b"one two three", peer).with_segment_size(4);
/// let datagrams: Vec<&[u8]> = message.datagrams().collect();
/// assert_eq!(datagrams, [&b"one "[..], b"two ", b"thre", b"e"]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The bytes of all datagrams.
    bytes: &'a [u8],
    /// Where they come from or go to; `None` for the address that the socket is connected to.
    peer: Option<SocketAddr>,
    /// The bytes of each datagram but the last. It is 0 or not less than `bytes` for one datagram.
    segment_size: usize,
    /// Whether the kernel had more bytes than there was room for.
    is_truncated: bool,
}

impl<'a> Message<'a> {
    /// Makes a message of one datagram to `peer`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::Message;
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let me = socket.local_addr()?;
    /// let sent = socket.send_batch(["one", "two"].map(|text| Message::new(text.as_bytes(), me)));
    /// assert_eq!(sent.await?, 2);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn new(bytes: &'a [u8], peer: SocketAddr) -> Message<'a> {
        Message { bytes, peer: Some(peer), segment_size: 0, is_truncated: false }
    }

    /// Makes a message of one datagram to the address that the socket is connected to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::Message;
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.connect(socket.local_addr()?).await?;
    /// assert_eq!(socket.send_batch([Message::to_connected(b"one")]).await?, 1);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn to_connected(bytes: &'a [u8]) -> Message<'a> {
        Message { bytes, peer: None, segment_size: 0, is_truncated: false }
    }

    /// Makes it several datagrams of `size` bytes, of which the last may be shorter. With 0, and if
    /// `size` is not less than the bytes, it is one datagram.
    ///
    /// The kernel splits it when it is sent. It takes at most 64 datagrams of together 65,507 bytes
    /// (IPv4) or 65,527 bytes (IPv6), each of which fits into a packet of the way's first link: not
    /// more than 1,472 or 1,452 bytes with Ethernet. Otherwise sending returns an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::Message;
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let message = Message::new(&[7; 3000], socket.local_addr()?).with_segment_size(1200);
    /// assert_eq!(socket.send_batch([message]).await?, 1);
    /// // Three datagrams, by one system call.
    /// for size in [1200, 1200, 600] {
    ///     assert_eq!(socket.recv(&mut [0; 1500]).await?, size);
    /// }
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn with_segment_size(self, size: usize) -> Message<'a> {
        Message { segment_size: size, ..self }
    }

    /// Notes that bytes were lost.
    #[inline]
    pub(crate) fn with_truncated(self, is_truncated: bool) -> Message<'a> {
        Message { is_truncated, ..self }
    }

    /// Names the peer of a received message, or none.
    #[inline]
    pub(crate) fn with_peer(self, peer: Option<SocketAddr>) -> Message<'a> {
        Message { peer, ..self }
    }

    /// Returns the bytes of all datagrams, one behind the other.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::Message;
    /// assert_eq!(Message::to_connected(b"one").bytes(), b"one");
    /// ```
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns where it came from, or where it goes to. `None` is the address that the socket is
    /// connected to, or a sender without an address of IP.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::Message;
    /// # let peer = "127.0.0.1:4433".parse().unwrap();
    /// assert_eq!(Message::new(b"one", peer).peer(), Some(peer));
    /// assert_eq!(Message::to_connected(b"one").peer(), None);
    /// ```
    #[inline]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Returns the length of each datagram but the last, or `None` if there is only one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::Message;
    /// let message = Message::to_connected(b"onetwo");
    /// assert_eq!(message.segment_size(), None);
    /// assert_eq!(message.with_segment_size(3).segment_size(), Some(3));
    /// assert_eq!(message.with_segment_size(6).segment_size(), None);
    /// ```
    #[inline]
    pub fn segment_size(&self) -> Option<usize> {
        let is_several = self.segment_size > 0 && self.segment_size < self.bytes.len();
        is_several.then_some(self.segment_size)
    }

    /// Returns `true` if its end was cut off, as the buffer was too short: the rest is lost. With
    /// UDP_GRO a message takes up to 65,535 bytes, and what is lost may be whole datagrams.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::RecvBatch;
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.send_to(b"longer than four", socket.local_addr()?).await?;
    /// let mut batch = RecvBatch::new(8, 4);
    /// socket.recv_batch(&mut batch).await?;
    /// let message = batch.get(0).unwrap();
    /// assert_eq!(message.bytes(), b"long");
    /// assert!(message.is_truncated());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Returns the bytes of each datagram, at least of one: an empty message is an empty datagram.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::udp::Message;
    /// let message = Message::to_connected(b"onetwo");
    /// assert!(message.datagrams().eq([b"onetwo"]));
    /// assert!(message.with_segment_size(3).datagrams().eq([b"one", b"two"]));
    /// assert_eq!(Message::to_connected(b"").datagrams().len(), 1);
    /// ```
    #[inline]
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        let size = self.segment_size().unwrap_or(bytes.len());
        let count = bytes.len().checked_div(size).map_or(1, |_| bytes.len().div_ceil(size));
        (0..count).map(move |index| {
            let rest = &bytes[index * size..];
            &rest[..size.min(rest.len())]
        })
    }

    /// Returns each datagram as a message of its own: for a kernel or a device that doesn't split
    /// what is sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::Message;
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let message = Message::new(&[7; 3000], socket.local_addr()?).with_segment_size(1200);
    /// assert_eq!(socket.send_batch(message.split()).await?, 3);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn split(&self) -> impl ExactSizeIterator<Item = Message<'a>> + Clone + use<'a> {
        let one = Message { segment_size: 0, ..*self };
        self.datagrams().map(move |bytes| Message { bytes, ..one })
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("peer", &self.peer)
            .field("length", &self.bytes.len())
            .field("segment_size", &self.segment_size())
            .finish_non_exhaustive()
    }
}
