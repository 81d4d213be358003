//! How many datagrams move through a [`UdpSocket`] by one system call.

use std::borrow::Borrow;
use std::io;
use std::os::fd::BorrowedFd;

use crate::base::message::Message;
use crate::parts::readiness::Direction;
use crate::parts::recv_batch::RecvBatch;
use crate::sys::send_batch;

use crate::net::udp::UdpSocket;

impl UdpSocket {
    /// Waits for messages, receives those that have come, as many as `batch` has room for, and
    /// returns their number: recvmmsg(2). The messages of the last receive are gone.
    ///
    /// # Errors
    ///
    /// Returns `NotConnected` if the poller has ended, and the errors of recv(2). On a connected
    /// socket that may be the error of an earlier send, such as `ConnectionRefused`; the next call
    /// goes on.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: a future that is dropped has received nothing. Any number of
    /// tasks may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::RecvBatch;
    ///
    /// /// Sends everything back, by two system calls for up to 32 datagrams.
    /// async fn echo(socket: UdpSocket) -> std::io::Result<()> {
    ///     let mut batch = RecvBatch::new(32, 1500);
    ///     loop {
    ///         let count = socket.recv_batch(&mut batch).await?;
    ///         let mut sent = 0;
    ///         while sent < count {
    ///             sent += socket.send_batch(batch.iter().skip(sent)).await?;
    ///         }
    ///     }
    /// }
    /// # corepoll::block_on(async {
    /// # let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// # client.send_to(b"hello", socket.local_addr()?)?;
    /// # let task = corepoll::spawn_local(echo(socket));
    /// # client.set_nonblocking(true)?;
    /// # while client.recv(&mut [0; 16]).is_err() {
    /// #     corepoll::time::sleep(std::time::Duration::from_millis(1)).await;
    /// # }
    /// # task.abort();
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        // Not only by the call, which a socket without readiness doesn't make.
        batch.clear();
        let mut receive = |fd: BorrowedFd<'_>| self.receive_batch(fd, batch);
        if let Some(received) = self.socket.registered.attempt(Direction::Read, &mut receive) {
            return received;
        }
        self.socket.registered.io(Direction::Read, receive).await
    }

    /// Receives the messages that have come without waiting, as [`UdpSocket::recv_batch`] does.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if nothing has come, and the errors of [`UdpSocket::recv_batch`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # use corepoll::net::udp::RecvBatch;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let mut batch = RecvBatch::new(32, 1500);
    /// let error = socket.try_recv_batch(&mut batch).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.clear();
        let receive = |fd: BorrowedFd<'_>| self.receive_batch(fd, batch);
        self.socket.registered.try_io(Direction::Read, receive)
    }

    /// Receives a batch, and takes what it costs from the task's allowance.
    #[inline]
    fn receive_batch(&self, fd: BorrowedFd<'_>, batch: &mut RecvBatch) -> io::Result<usize> {
        let allowance = &self.socket.registered.local().allowance;
        let most = batch.capacity().min(allowance.affordable());
        let received = batch.slots().receive(fd, most)?;
        if received.is_last {
            // What comes behind it has an event of its own, and so has an error: it came while the
            // call was made.
            self.socket.registered.note_short_read();
        }
        allowance.charge_batch(received.count, received.bytes);
        Ok(received.count)
    }

    /// Sends the first of `messages`, as many as the kernel takes, and returns their number:
    /// sendmmsg(2). It waits until there is room for one, and sends at most 64.
    ///
    /// `messages` is gone through again after a wait, so its iterator can be cloned: slices, the
    /// messages of a [`RecvBatch`], and adapters such as `map` and `skip` are.
    ///
    /// # Errors
    ///
    /// Returns the error of the first message. If a later one fails, those before it are sent and
    /// counted, and the error comes when the rest is sent. But what has been reported of an
    /// *earlier* datagram on a connected socket, such as `ConnectionRefused`, is lost if it comes
    /// in the middle of a batch.
    ///
    /// A message of several datagrams ([`Message::with_segment_size`]) is an error if the kernel or
    /// the device can't split it, or if there are too many, or if they are too long; the text says
    /// so. [`Message::split`] makes single messages of them.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel-safe: a future that is dropped has sent nothing. Any number of tasks
    /// may wait in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::Message;
    /// use std::collections::VecDeque;
    /// use std::net::SocketAddr;
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// # let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let peer = client.local_addr()?;
    /// let mut queue: VecDeque<(Vec<u8>, SocketAddr)> = VecDeque::new();
    /// queue.push_back((b"one".to_vec(), peer));
    /// queue.push_back((b"two".to_vec(), peer));
    /// while !queue.is_empty() {
    ///     let messages = queue.iter().map(|(bytes, to)| Message::new(bytes, *to));
    ///     let sent = socket.send_batch(messages).await?;
    ///     queue.drain(..sent);
    /// }
    /// # assert_eq!(client.recv(&mut [0; 16])?, 3);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub async fn send_batch<'a, I>(&self, messages: I) -> io::Result<usize>
    where
        I: IntoIterator<Item: Borrow<Message<'a>>, IntoIter: Clone>,
    {
        let messages = messages.into_iter();
        if messages.clone().next().is_none() {
            return Ok(0);
        }
        let send = |fd: BorrowedFd<'_>| self.transmit_batch(fd, messages.clone());
        if let Some(sent) = self.socket.registered.attempt(Direction::Write, send) {
            return sent;
        }
        self.socket.registered.io(Direction::Write, send).await
    }

    /// Sends the first of `messages` without waiting, as [`UdpSocket::send_batch`] does.
    ///
    /// # Errors
    ///
    /// Returns `WouldBlock` if there is no room for one, and the errors of
    /// [`UdpSocket::send_batch`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::net::UdpSocket;
    /// # use corepoll::net::udp::Message;
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let me = socket.local_addr()?;
    /// let messages = [Message::new(b"one", me), Message::new(b"two", me)];
    /// assert_eq!(socket.try_send_batch(&messages)?, 2);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_send_batch<'a, I>(&self, messages: I) -> io::Result<usize>
    where
        I: IntoIterator<Item: Borrow<Message<'a>>>,
    {
        let mut messages = messages.into_iter().peekable();
        if messages.peek().is_none() {
            return Ok(0);
        }
        let send = |fd: BorrowedFd<'_>| self.transmit_batch(fd, messages);
        self.socket.registered.try_io(Direction::Write, send)
    }

    /// Sends a batch, and takes what it costs from the task's allowance.
    #[inline]
    fn transmit_batch<'a>(
        &self,
        fd: BorrowedFd<'_>,
        messages: impl Iterator<Item: Borrow<Message<'a>>>,
    ) -> io::Result<usize> {
        let allowance = &self.socket.registered.local().allowance;
        let (count, bytes) = send_batch::send(fd, messages, allowance.affordable())?;
        allowance.charge_batch(count, bytes);
        Ok(count)
    }

    /// Sets UDP_GRO: whether the kernel may join datagrams of one peer that have come together to
    /// one message. It is off at first.
    ///
    /// Only [`UdpSocket::recv_batch`] says where such a message is to be split. So once this is on,
    /// all other methods that receive are of no use, and the messages of a batch have room for
    /// 65,535 bytes. What a peer sends by one system call comes as one message on this machine; from
    /// a network, it depends on the device.
    ///
    /// # Errors
    ///
    /// Returns the errors of setsockopt(2), such as that of a kernel before Linux 5.0.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::UdpSocket;
    /// use corepoll::net::udp::{Message, RecvBatch};
    ///
    /// # corepoll::block_on(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.set_gro(true)?;
    /// let message = Message::new(&[7; 3000], socket.local_addr()?).with_segment_size(1200);
    /// socket.send_batch([message]).await?;
    ///
    /// let mut batch = RecvBatch::new(8, 65_535);
    /// socket.recv_batch(&mut batch).await?;
    /// for message in &batch {
    ///     for datagram in message.datagrams() {
    ///         assert!(datagram.len() == 1200 || datagram.len() == 600);
    ///     }
    /// }
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn set_gro(&self, on: bool) -> io::Result<()> {
        send_batch::set_gro(self.socket.fd(), on)
    }
}
