//! Which poller a new connection goes to. It stays there: work never moves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::local::handle::PollerHandle;
use crate::reactor::ReactorHandle;

/// How new connections are spread over the pollers of a reactor.
///
/// ```
/// use corepoll::{Acceptor, Balance};
///
/// // A listener of its own for each poller, and no connection leaves the one that accepted it.
/// let acceptor = Acceptor::new(":8080").reuse_port(true).balance(Balance::Local);
/// # drop(acceptor);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Balance {
    /// On the poller that accepted it, unless another one holds fewer connections. At any time no
    /// poller has been given more than one connection more than any other.
    #[default]
    LeastLoaded,
    /// In turn.
    RoundRobin,
    /// On the poller that accepted it. Together with REUSEPORT that is what the kernel's hash
    /// makes of it: with few connections, some pollers get several and others none.
    Local,
}

/// Spreads the connections of one listener.
#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    /// Whose pollers they go to.
    target: ReactorHandle,
    balance: Balance,
    /// Whose turn it is. Shared by all listeners of one address.
    turn: Arc<AtomicUsize>,
}

impl Balancer {
    pub(crate) fn new(target: ReactorHandle, balance: Balance) -> Balancer {
        Balancer { target, balance, turn: Arc::default() }
    }

    /// The poller of the next connection, which was accepted by `here`; it is counted there.
    pub(crate) fn choose(&self, here: &PollerHandle) -> PollerHandle {
        let pollers = self.target.pollers();
        match self.balance {
            Balance::LeastLoaded => self.least_loaded(Some(here)),
            Balance::RoundRobin => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                counted(&pollers[turn % pollers.len()])
            }
            Balance::Local if self.is_ours(here) => counted(here),
            Balance::Local => counted(&pollers[here.index() % pollers.len()]),
        }
    }

    /// Counts a connection at a poller only while that has the least: whoever else counts one at
    /// the same moment makes the attempt fail, and the choice is made again. So however many
    /// accept at a time, no poller gets ahead by more than one.
    ///
    /// `here` is preferred to others that have as few.
    pub(crate) fn least_loaded(&self, here: Option<&PollerHandle>) -> PollerHandle {
        let here = here.filter(|here| self.is_ours(here));
        loop {
            let loads = self.target.pollers().iter().map(|poller| (poller.load(), poller));
            let (least, other) = loads.min_by_key(|(load, _)| *load).expect("at least one poller");
            let chosen = here.filter(|here| here.load() <= least).unwrap_or(other);
            if chosen.join_if(least) {
                return chosen.clone();
            }
        }
    }

    /// A connection that was to go to `poller` is closed instead: that has ended.
    #[cold]
    pub(crate) fn undelivered(&self, poller: &PollerHandle) -> io::Error {
        poller.leave();
        let message = "the reactor that it was for has ended";
        io::Error::new(io::ErrorKind::NotConnected, message)
    }

    fn is_ours(&self, here: &PollerHandle) -> bool {
        self.target.pollers().get(here.index()).is_some_and(|poller| poller.is_same(here))
    }
}

fn counted(poller: &PollerHandle) -> PollerHandle {
    poller.join();
    poller.clone()
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
            // All have as few, or those before this one have fewer.
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
