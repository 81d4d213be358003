//! Every limit of a poller, with its reason.
//!
//! They stand in one struct, so that they can be read together: what one kind of work may take is
//! what the others wait.

use std::time::Duration;

/// The limits of a poller: how much of one kind of work it does before it turns to the others, and
/// how much it keeps for a peer.
///
/// A peer, a task or a handler that always has more to do makes the others wait for one such amount,
/// and not for ever. A count of 0 is taken as 1, except for `output_per_connection`.
///
/// # Examples
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
    /// The number of events that one `epoll_wait` takes. If more are ready, the kernel returns the
    /// others first at the next wait, so that none starves. An event takes 12 bytes. At most
    /// 65,536. Default: 256.
    pub events_per_wait: usize,
    /// How long tasks run before the poller looks at events, timers and mail again. A single poll
    /// that takes longer is not interrupted. The same limit holds for closures from other threads,
    /// and for timers.
    ///
    /// So a task that computes for a time P in each poll delays events by P. Among N such tasks,
    /// one that is woken runs after (N + 1) · P and a turn. Each look costs a system call; with the
    /// default, ten thousand polls that only yield share one. After a look that has found many
    /// events, up to 64 polls are made even if the time is over, as long as each is shorter than
    /// this. While polls are short the time is read after every eighth poll, so eight may be made
    /// before the first long one is noticed. With [`Duration::ZERO`] the poller looks after each
    /// poll. Default: 200 µs.
    pub slice: Duration,
    /// The number of tasks that are polled in one turn, however short their polls are. Default:
    /// 16,384.
    pub tasks_per_turn: usize,
    /// The number of connections that are accepted for one event of a listener. During a flood of
    /// new connections the present ones wait for that many accepts. Default: 64.
    pub accepts_per_event: usize,
    /// The number of messages from other threads that are handled at a time. Threads that send all
    /// the time delay other work by that many closures. Default: 256.
    pub mail_per_turn: usize,
    /// The number of closures that may wait for the poller before
    /// [`PollerHandle::try_run_on`](crate::PollerHandle::try_run_on) refuses the next one.
    ///
    /// It bounds what threads pile up in front of a poller that is stuck or too slow. Closures of
    /// [`PollerHandle::run_on`](crate::PollerHandle::run_on), `spawn_on` and `broadcast` count, and
    /// are never refused. Default: 16,384, which a fast thread sends in a few milliseconds.
    pub mail_waiting: usize,
    /// The number of timers that fire in one turn. Default: 1,024.
    pub timers_per_turn: usize,
    /// The number of bytes that a handler may read for one event, after which `cx.read()` returns
    /// `WouldBlock`. If a peer sends faster than its handler reads, the rest is read in later
    /// turns.
    ///
    /// A read counts as at least 2 KiB, so that a handler which reads single bytes makes at most
    /// 128 system calls for one event by default. So does each message of a batch of datagrams.
    /// Default: 256 KiB.
    pub read_per_event: usize,
    /// The number of queued bytes of a connection that are sent for one event, files included. One
    /// system call may exceed it. If a peer takes a large file as fast as it is sent, the rest is
    /// sent in later turns. Default: 1 MiB.
    pub send_per_event: usize,
    /// The number of bytes that may be queued for a connection. With more it ends with
    /// `CloseReason::Overflow`. Default: 8 MiB.
    ///
    /// It bounds what a peer that never reads makes the program keep, so bytes of files, which are
    /// not in memory, do not count. The bytes to be sent count, and not the buffers that slices of
    /// them keep alive: see [`Writer`](crate::Writer).
    pub output_per_connection: usize,
    /// The number of pieces of files that `cx.send_file` may have queued for a connection. With
    /// more it ends with `CloseReason::Overflow`. Default: 16.
    ///
    /// Each piece keeps a descriptor open. Without a limit one peer that asks for file after file
    /// and reads nothing would take all descriptors of the process; with the default it takes at
    /// most 17. A handler whose peers send requests ahead should answer the next one when
    /// [`pending_output`](crate::EvContext::pending_output) is 0, or in `on_write`.
    pub files_per_connection: usize,
    /// How long queued output may take to be sent after `Action::Close`. Default: 5 s.
    ///
    /// It is also how long a closed connection reads on, so that data of its peer does not destroy
    /// the last answer by a reset; and how long a handler may leave bytes unread that came before
    /// its peer's hang-up.
    ///
    /// The time runs from the close, whatever the peer does meanwhile. A peer that reads slowly is
    /// cut off when it is over, and loses what it has not taken. A server with slow peers should
    /// set a longer time, or close when `on_write` says that everything is sent.
    pub close_linger: Duration,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            // 3 KiB of events: the array stays in the first-level cache between the wait and the
            // dispatch.
            events_per_wait: 256,
            // Long beside the microsecond of a turn, and short beside the millisecond that a peer
            // notices.
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

/// The largest number of events of one wait, which take 768 KiB. The kernel's own limit is an int
/// of bytes.
const MOST_EVENTS: usize = 64 * 1024;

impl Budget {
    /// Returns the budget with every count at least 1, as a poller that may do nothing stands
    /// still, and none larger than there can be.
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
        // What is left of this count may become negative.
        self.read_per_event = self.read_per_event.min(isize::MAX as usize);
        self
    }
}
