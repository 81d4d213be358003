//! The table: what each token of this poller stands for.
//!
//! There is unsafe code here because the look-up is a part of every event: a `RefCell` around the
//! slab takes eight instructions of a hundred and seventy, 4.5 % of the path that `cargo run
//! --release -p versus -- instructions` counts.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::rc::Rc;

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::local::attempt::Attempt;
use crate::local::connection::Connection;
use crate::local::source::Source;
use crate::sys::epoll::Event;

/// What a token stands for.
#[derive(Clone)]
pub(crate) enum Entry {
    /// A connection with a handler.
    Handler(Rc<Connection>),
    /// A descriptor that tasks wait on.
    Readiness(Rc<Source>),
    /// A connection that is being made.
    Connecting(Rc<Attempt>),
}

/// What an event is for.
pub(crate) enum Addressee {
    /// A connection with a handler, one of whose callbacks is to be called.
    Handler(Rc<Connection>),
    /// A descriptor of tasks that has noted the event. Nothing is left to do.
    Noted,
    /// An entry for which more is to be done; `None` if the entry of the token has been removed.
    Rare(Option<Entry>),
}

/// The entries of a poller, by token.
///
/// The invariant **Table**: a reference to the slab lives inside one method of this type only, and
/// no method calls anything meanwhile that could come back to the table: not the owner of an
/// entry, whose drop is foreign, but at most the clone of an `Rc` and [`Source::mark`], which sets
/// bits and queues a task. It is not Sync, so no other thread has one either.
pub(crate) struct Table {
    /// The entries. Reached only under the invariant **Table**.
    slab: UnsafeCell<Slab<Entry>>,
}

impl Table {
    /// Makes an empty table.
    pub(crate) const fn new() -> Table {
        Table { slab: UnsafeCell::new(Slab::new()) }
    }

    /// Finds out what an event is for. The usual event of a task's descriptor is done in here,
    /// inside of the look-up, so that it needs neither a clone of the `Rc` nor a second look.
    #[inline(always)]
    pub(crate) fn address(&self, token: Token, event: Event) -> Addressee {
        // SAFETY: **Table**.
        let slab = unsafe { &*self.slab.get() };
        match slab.get(token) {
            Some(Entry::Handler(connection)) => Addressee::Handler(connection.clone()),
            Some(Entry::Readiness(source)) if source.mark(event) => Addressee::Noted,
            other => Addressee::Rare(other.cloned()),
        }
    }

    /// Returns what `token` stands for, unless it has been removed.
    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<Entry> {
        // SAFETY: **Table**.
        unsafe { &*self.slab.get() }.get(token).cloned()
    }

    /// Returns the token that the next entry is going to have.
    pub(crate) fn next_token(&self) -> Token {
        // SAFETY: **Table**.
        unsafe { &mut *self.slab.get() }.next_token()
    }

    /// Adds an entry, under the token that [`Table::next_token`] has returned.
    pub(crate) fn insert(&self, entry: Entry) {
        // SAFETY: **Table**.
        unsafe { &mut *self.slab.get() }.insert_with(|_| entry);
    }

    /// Replaces an entry, and returns the old one, which the caller drops.
    #[must_use = "dropping an entry runs foreign code: not inside another borrow"]
    pub(crate) fn replace(&self, token: Token, entry: Entry) -> Option<Entry> {
        // SAFETY: **Table**; if there is nothing under the token, the new entry is dropped when the
        // borrow has ended, as it is a parameter.
        let present = unsafe { &mut *self.slab.get() }.get_mut(token)?;
        Some(std::mem::replace(present, entry))
    }

    /// Removes an entry, and returns it, which the caller drops.
    #[must_use = "dropping an entry runs foreign code: not inside another borrow"]
    pub(crate) fn remove(&self, token: Token) -> Option<Entry> {
        // SAFETY: **Table**.
        unsafe { &mut *self.slab.get() }.remove(token)
    }

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: **Table**.
        unsafe { &*self.slab.get() }.len()
    }

    /// Returns the tokens of all entries.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        // SAFETY: **Table**.
        unsafe { &*self.slab.get() }.tokens().collect()
    }
}
