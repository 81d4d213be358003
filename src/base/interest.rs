//! `Interest`: the events that a registration asks for.
//!
//! The same bits stand in the low end of a connection's word (`local/flags.rs`), so that what is
//! asked for and what is true of a connection are compared together.

use std::fmt;
use std::ops::BitOr;

/// The events that a handler asks for: readable, writable, out-of-band data, several of them or none;
/// level-triggered or edge-triggered.
///
/// Level-triggered is the default: an event comes for as long as its condition holds. With
/// [`Interest::edge`] it comes once each time that the condition begins, and the handler reads
/// until [`std::io::ErrorKind::WouldBlock`], now or later.
///
/// The peer's hang-up is reported together with readable, so that the bytes before it are read
/// first. See epoll(7).
///
/// # Examples
///
/// ```
/// use corepoll::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// assert!(both.edge().is_edge() && !both.is_edge());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// No events: the connection stays registered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!(!Interest::NONE.is_readable() && !Interest::NONE.is_writable());
    /// ```
    pub const NONE: Interest = Interest(0);
    /// Bytes to read, or the end of the peer's output.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!(Interest::READABLE.is_readable());
    /// ```
    pub const READABLE: Interest = Interest(1);
    /// Room in the send buffer. Queued output does not need this: the poller flushes it by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!((Interest::READABLE | Interest::WRITABLE).is_writable());
    /// ```
    pub const WRITABLE: Interest = Interest(2);

    /// Out-of-band data, EPOLLPRI of epoll(7): TCP's urgent byte, a change of a file of procfs or
    /// sysfs, messages in a socket's error queue.
    ///
    /// For a handler it is an [`on_read`](crate::EvHandler::on_read) in which
    /// [`EvContext::is_priority`](crate::EvContext::is_priority) is `true`. A task waits in
    /// [`AsyncFd::priority`](crate::net::AsyncFd::priority).
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!((Interest::READABLE | Interest::PRIORITY).is_priority());
    /// ```
    pub const PRIORITY: Interest = Interest(8);

    /// The bit of edge-triggered.
    const EDGE: Interest = Interest(4);

    /// Returns the same interest, edge-triggered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// let interest = Interest::READABLE.edge();
    /// assert!(interest.is_edge() && interest.is_readable());
    /// ```
    #[must_use]
    pub const fn edge(self) -> Interest {
        Interest(self.0 | Interest::EDGE.0)
    }

    /// All bits that [`Interest::bits`] may have on.
    pub(crate) const ALL_BITS: u32 = 15;

    /// Returns the interest as bits of a word. Readable is the lowest one.
    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Makes the interest of [`Interest::bits`]. Other bits of the word are left out.
    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Interest {
        Interest((bits & Interest::ALL_BITS) as u8)
    }

    /// Returns the same interest without readable.
    pub(crate) const fn not_readable(self) -> Interest {
        Interest(self.0 & !Interest::READABLE.0)
    }

    /// Returns `true` if it asks for readable.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!(Interest::READABLE.is_readable() && !Interest::WRITABLE.is_readable());
    /// ```
    pub const fn is_readable(self) -> bool {
        self.0 & Interest::READABLE.0 != 0
    }

    /// Returns `true` if it asks for writable.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!(Interest::WRITABLE.is_writable() && !Interest::READABLE.is_writable());
    /// ```
    pub const fn is_writable(self) -> bool {
        self.0 & Interest::WRITABLE.0 != 0
    }

    /// Returns `true` if it asks for out-of-band data.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!(Interest::PRIORITY.is_priority() && !Interest::READABLE.is_priority());
    /// ```
    pub const fn is_priority(self) -> bool {
        self.0 & Interest::PRIORITY.0 != 0
    }

    /// Returns `true` if it is edge-triggered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::Interest;
    /// assert!(Interest::READABLE.edge().is_edge() && !Interest::READABLE.is_edge());
    /// ```
    pub const fn is_edge(self) -> bool {
        self.0 & Interest::EDGE.0 != 0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    /// Returns both interests together. It is edge-triggered if one of them is.
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
        ];
        let asked: Vec<&str> = names.iter().filter(|it| it.0).map(|it| it.1).collect();
        let direction = if asked.is_empty() { "NONE".into() } else { asked.join(" | ") };
        write!(f, "Interest({direction}{})", if self.is_edge() { ", edge" } else { "" })
    }
}
