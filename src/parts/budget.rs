//! Every limit of a poller, with its reason.

use std::time::Duration;

/// How much of everything a poller does before it turns to the rest, and how much it keeps.
///
/// Nothing that a peer, a task or a handler does for ever keeps the others waiting for more than
/// one budget of it. A count of nothing is one, except for `output_per_connection`.
///
/// ```
/// use corepoll::{Budget, Reactor};
/// use std::time::Duration;
///
/// let mut budget = Budget::default();
/// budget.output_per_connection = 64 * 1024;
/// budget.close_linger = Duration::from_secs(1);
/// let reactor = Reactor::builder().pollers(1).budget(budget).build().unwrap();
/// # drop(reactor);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// Events that one `epoll_wait` brings. The kernel hands out the others first at the
    /// next wait, so none starves; 12 bytes each, copied only as far as they are used. At most
    /// 65,536.
    pub events_per_wait: usize,
    /// How long tasks run before events, timers and mail are looked at: as long as this, or for one
    /// poll that takes longer, whatever tasks do. The same for closures from other threads, and for
    /// timers.
    ///
    /// So a task that computes for a time P in each poll keeps events waiting for P, and among N
    /// such tasks one that is woken runs after (N + 1) · P and a turn. Each look costs a system
    /// call, which ten thousand polls that only yield share by the default. After a look that has
    /// brought many events as many polls that are shorter than this are made, up to 64. With
    /// [`Duration::ZERO`] there is a look after each poll.
    pub slice: Duration,
    /// Tasks polled in one turn, however short their polls are.
    pub tasks_per_turn: usize,
    /// Connections accepted for one event of a listener. A flood of connections keeps those that
    /// are there waiting for as many accepts.
    pub accepts_per_event: usize,
    /// Pieces of mail opened at a time. Threads that post for ever keep the rest waiting for as
    /// many closures.
    pub mail_per_turn: usize,
    /// Closures that may wait for the poller before
    /// [`PollerHandle::try_run_on`](crate::PollerHandle::try_run_on) refuses the next one. A poller
    /// that is stuck, or slower than the threads that send to it, keeps as many and no more; what
    /// [`PollerHandle::run_on`](crate::PollerHandle::run_on), `spawn_on` and `broadcast` send counts,
    /// and is never refused. The default is what a fast thread sends in a few milliseconds.
    pub mail_waiting: usize,
    /// Timers fired in one turn.
    pub timers_per_turn: usize,
    /// Bytes that a handler reads for one event, after which `cx.read()` says `WouldBlock`. A
    /// peer that sends faster than its handler reads gets as much a turn, and the rest later. A
    /// read counts for 2 KiB at the least, so that one who reads by single bytes makes no more than
    /// 128 system calls an event by default.
    pub read_per_event: usize,
    /// Bytes of a connection's queued output that are sent for one event, files included; about,
    /// as one system call may take more. A peer that takes a large file as fast as we send it
    /// gets as much a turn, and the rest later.
    pub send_per_event: usize,
    /// Bytes queued for a connection, after which it ends with `CloseReason::Overflow`. Bounds
    /// what a peer that never reads makes us keep, so bytes of files, which aren't kept, don't
    /// count. It is the bytes to be sent that are counted, not the buffers that slices keep alive:
    /// see [`Writer`](crate::Writer).
    pub output_per_connection: usize,
    /// Stretches of files queued for a connection by `cx.send_file`, after which it ends with
    /// `CloseReason::Overflow`. Each keeps a descriptor open, so without a limit one peer that asks
    /// for file after file and reads nothing takes all that the process may have; with 16, a peer
    /// takes 17 descriptors at the most. A handler whose peers send many requests ahead answers the
    /// next one when [`pending_output`](crate::EvContext::pending_output) is 0, or in `on_write`.
    pub files_per_connection: usize,
    /// How long queued output may take after `Action::Close`; and how long a closed connection
    /// is listened to, so that what its peer still sends doesn't destroy our last answer. Also how
    /// long a handler may leave unread what came before its peer's hang-up.
    ///
    /// It runs from the close on, whatever the peer does meanwhile. One that reads slowly, or has
    /// ended its own direction and reads no more, is cut when it is over, and what it has not taken
    /// is lost: who serves slow peers gives more, or closes when `on_write` says that all is sent.
    pub close_linger: Duration,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            events_per_wait: 256,
            slice: Duration::from_micros(200),
            tasks_per_turn: 16 * 1024,
            accepts_per_event: 64,
            mail_per_turn: 256,
            mail_waiting: 16 * 1024,
            timers_per_turn: 1024,
            read_per_event: 256 * 1024,
            send_per_event: 1024 * 1024,
            output_per_connection: 8 * 1024 * 1024,
            files_per_connection: 16,
            close_linger: Duration::from_secs(5),
        }
    }
}

/// The most events of one wait: 768 KiB. The kernel takes more, but not more than an int of bytes.
const MOST_EVENTS: usize = 64 * 1024;

impl Budget {
    /// The same with every count at least one, as a budget of nothing would be a poller that stands
    /// still; and with no more than there can be.
    pub(crate) fn in_bounds(mut self) -> Budget {
        for count in [
            &mut self.events_per_wait,
            &mut self.tasks_per_turn,
            &mut self.accepts_per_event,
            &mut self.mail_per_turn,
            &mut self.mail_waiting,
            &mut self.timers_per_turn,
            &mut self.read_per_event,
            &mut self.send_per_event,
            &mut self.files_per_connection,
        ] {
            *count = (*count).max(1);
        }
        self.events_per_wait = self.events_per_wait.min(MOST_EVENTS);
        // What is left of it may be negative.
        self.read_per_event = self.read_per_event.min(isize::MAX as usize);
        self
    }
}
