//! Which poller a new connection goes to. The connection stays there: work never moves.
//!
//! SO_REUSEPORT alone spreads by a hash of the addresses (socket(7)). With many connections that is
//! even; with few of them, some pollers have several and others none. Sending a connection on to
//! another poller costs one message, once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::local::errors::poller_ended;
use crate::local::handle::PollerHandle;
use crate::reactor::ReactorHandle;

/// How new connections are spread over the pollers of a reactor.
///
/// # Examples
///
/// ```
/// use corepoll::{Acceptor, Balance};
///
/// // Each poller has a listener of its own, and keeps the connections that it accepts.
/// let acceptor = Acceptor::new(":8080").reuse_port(true).balance(Balance::Local);
/// # drop(acceptor);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Balance {
    /// A connection stays on the poller that accepted it, unless another one has fewer connections.
    /// While connections only come, no poller gets ahead of another by more than one.
    #[default]
    LeastLoaded,
    /// The pollers take turns.
    RoundRobin,
    /// A connection stays on the poller that accepted it. With
    /// [`Acceptor::reuse_port`](crate::Acceptor::reuse_port) the kernel chooses the poller by a
    /// hash: with few connections, some pollers get several and others none.
    Local,
}

/// Chooses the poller of each connection of one address.
#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    /// The reactor that gets the connections.
    target: ReactorHandle,
    /// How a poller is chosen among those of the reactor.
    balance: Balance,
    /// The number of connections so far, for [`Balance::RoundRobin`]. All listeners of the address
    /// share it.
    turn: Arc<AtomicUsize>,
}

impl Balancer {
    /// Returns a balancer for the pollers of `target`.
    pub(crate) fn new(target: ReactorHandle, balance: Balance) -> Balancer {
        Balancer { target, balance, turn: Arc::default() }
    }

    /// Returns the poller for a connection that `here` has accepted, and counts it there.
    pub(crate) fn choose<'a>(&'a self, here: &'a PollerHandle) -> &'a PollerHandle {
        let pollers = self.target.pollers();
        match self.balance {
            Balance::LeastLoaded => self.least_loaded(Some(here)),
            Balance::RoundRobin => {
                // Relaxed: the number chooses a poller and says nothing about other memory.
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                counted(&pollers[turn % pollers.len()])
            }
            Balance::Local if self.is_ours(here) => counted(here),
            // The connections go to another reactor, which may have fewer pollers.
            Balance::Local => counted(&pollers[here.index() % pollers.len()]),
        }
    }

    /// Returns the poller that has the fewest connections, and counts one more there. `here` is
    /// preferred to others that have as few.
    pub(crate) fn least_loaded<'a>(&'a self, here: Option<&'a PollerHandle>) -> &'a PollerHandle {
        let here = here.filter(|here| self.is_ours(here));
        loop {
            let loads = self.target.pollers().iter().map(|poller| (poller.load(), poller));
            let (least, other) = loads.min_by_key(|(load, _)| *load).expect("at least one poller");
            // A connection that stays here saves a message to another poller.
            let chosen = here.filter(|here| here.load() <= least).unwrap_or(other);
            // This fails if another thread has counted a connection there in the meantime; then the
            // choice is made again. So however many accept at a time, no poller gets ahead of
            // another by more than one.
            if chosen.increment_load_if(least) {
                return chosen;
            }
        }
    }

    /// Takes back the count of a connection that was to go to `poller`. Returns the error: the
    /// poller has ended.
    #[cold]
    pub(crate) fn undelivered(&self, poller: &PollerHandle) -> io::Error {
        poller.decrement_load();
        poller_ended()
    }

    /// Returns `true` if `here` is a poller of the target.
    fn is_ours(&self, here: &PollerHandle) -> bool {
        self.target.pollers().get(here.index()).is_some_and(|poller| poller.is_same(here))
    }
}

/// Counts a connection at a poller. Returns the poller.
fn counted(poller: &PollerHandle) -> &PollerHandle {
    poller.increment_load();
    poller
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Balance, Balancer};
    use crate::reactor::Reactor;

    /// What moves to another poller costs a message, and a cold cache.
    #[test]
    fn a_connection_stays_where_it_was_accepted_unless_another_poller_has_fewer() {
        let reactor = Reactor::builder().pollers(4).build().expect("a reactor");
        let handle = reactor.handle();
        let balancer = Balancer::new(handle.clone(), Balance::LeastLoaded);
        for (index, here) in handle.pollers().iter().enumerate().rev() {
            // None has fewer than this one.
            let chosen = balancer.choose(here);
            assert_eq!(chosen.index(), index);
            assert!(chosen.is_same(here));
        }
        let last = &handle.pollers()[3];
        assert!(balancer.choose(last).is_same(last));
        let other = balancer.choose(last);
        assert!(!other.is_same(last), "another one has fewer");
    }
}
