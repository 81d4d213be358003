//! How pollers look for packets before they sleep.

use std::time::Duration;

use crate::sys::busy_poll::Parameters;

/// Busy polling: before a poller sleeps, it looks for packets in the queue of the network device
/// itself, instead of waiting for an interrupt. For [`Builder::busy_poll`](crate::Builder).
///
/// This trades processor time for latency: no interrupt, no change of the thread, and no sleep of
/// the processor comes between a packet and its handler. It pays where requests come one at a time,
/// answers are wanted within some tens of microseconds, and each poller has a processor of its own.
/// Where pollers share their processors with other threads, as with the peer of a loopback
/// connection, it delays those.
///
/// It needs Linux 6.9 and a device with queues of its own: a network card, or a veth pair with
/// GRO. The loopback interface has none, so there it has no effect. The device is the one from
/// which the newest socket of the poller has its packets. So it works best where all connections of
/// a poller come through one queue: see [`Acceptor::steer_by_cpu`](crate::Acceptor::steer_by_cpu)
/// for one way to that. It is the kernel's "epoll based busy polling", whose documentation
/// (`Documentation/networking/napi.rst`) also says how interrupts of the device are set up for it.
///
/// [`TcpStream::set_busy_poll`](crate::net::TcpStream::set_busy_poll) is about the reads of one
/// socket: one that finds nothing looks at the device once.
///
/// # Examples
///
/// ```
/// use corepoll::{BusyPoll, Reactor};
/// use std::time::Duration;
///
/// let busy_poll = BusyPoll::new(Duration::from_micros(50));
/// match Reactor::builder().pollers(1).busy_poll(busy_poll).build() {
///     Ok(reactor) => drop(reactor),
///     // An older kernel, or one without it.
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct BusyPoll {
    /// What the kernel is told.
    pub(crate) parameters: Parameters,
}

impl BusyPoll {
    /// Polls for `time` before each sleep. The kernel counts in microseconds, rounded up, and up to
    /// about 36 minutes; zero turns it off. 20 to 200 microseconds are usual.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::BusyPoll;
    /// # use std::time::Duration;
    /// let busy_poll = BusyPoll::new(Duration::from_micros(50));
    /// # let _ = busy_poll;
    /// ```
    pub fn new(time: Duration) -> BusyPoll {
        BusyPoll { parameters: Parameters { time, packets: 0, prefer: false } }
    }

    /// Sets how many packets are taken from the device before the poller looks at the time again.
    /// More than 64 need the privilege `CAP_NET_ADMIN`; without it `build` fails. Default: the
    /// kernel's, which is 8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::BusyPoll;
    /// # use std::time::Duration;
    /// let busy_poll = BusyPoll::new(Duration::from_micros(50)).packets(64);
    /// # let _ = busy_poll;
    /// ```
    pub fn packets(mut self, n: u16) -> BusyPoll {
        self.parameters.packets = n;
        self
    }

    /// Keeps the interrupts of the device off while the poller comes back to poll in time. This
    /// takes effect if the device's `napi_defer_hard_irqs` and `gro_flush_timeout` are set: the
    /// second says how long the poller may stay away. Default: off.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::BusyPoll;
    /// # use std::time::Duration;
    /// let busy_poll = BusyPoll::new(Duration::from_micros(50)).prefer(true);
    /// # let _ = busy_poll;
    /// ```
    pub fn prefer(mut self, on: bool) -> BusyPoll {
        self.parameters.prefer = on;
        self
    }
}
