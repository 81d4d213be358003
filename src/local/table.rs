//! The table: what each token of this poller stands for.
//!
//! Unsafe code lives here because the look-up is a part of every event: a `RefCell` around the slab
//! takes eight instructions of a hundred and seventy, 4.5 % of the path that
//! `cargo run --release -p versus -- instructions` counts.
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
    /// A handler's connection.
    Handler(Rc<Connection>),
    /// A descriptor that tasks wait on.
    Readiness(Rc<Source>),
    /// A connection that is being made.
    Connecting(Rc<Attempt>),
}

/// What an event is for.
pub(crate) enum Addressee {
    /// A callback is to be called.
    Handler(Rc<Connection>),
    /// It has been taken note of: nothing is left to do.
    Noted,
    /// Something that happens less often; or nothing, if the token's entry has been removed.
    Rare(Option<Entry>),
}

/// Entries by token.
///
/// The invariant **Table**: a reference to the slab lives inside one method of this type only, and
/// no method calls anything meanwhile that could come back to the table: not the owner of an
/// entry, whose drop is foreign, but at most the clone of an `Rc` and [`Source::mark`], which sets
/// bits and queues a task. It is not Sync, so no other thread has one either.
pub(crate) struct Table {
    slab: UnsafeCell<Slab<Entry>>,
}

impl Table {
    pub(crate) const fn new() -> Table {
        Table { slab: UnsafeCell::new(Slab::new()) }
    }

    /// Finds out what an event is for: the usual ones first, by as few looks as they need.
    #[inline]
    pub(crate) fn address(&self, token: Token, event: Event) -> Addressee {
        // SAFETY: **Table**.
        let slab = unsafe { &*self.slab.get() };
        match slab.get(token) {
            Some(Entry::Handler(connection)) => Addressee::Handler(connection.clone()),
            Some(Entry::Readiness(source)) if source.mark(event) => Addressee::Noted,
            other => Addressee::Rare(other.cloned()),
        }
    }

    /// What `token` stands for, unless it has been removed.
    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<Entry> {
        // SAFETY: **Table**.
        unsafe { &*self.slab.get() }.get(token).cloned()
    }

    /// The token that the next entry is going to have.
    pub(crate) fn next_token(&self) -> Token {
        // SAFETY: **Table**.
        unsafe { &mut *self.slab.get() }.next_token()
    }

    /// Puts an entry in, under the token that [`Table::next_token`] has given.
    pub(crate) fn insert(&self, entry: Entry) {
        // SAFETY: **Table**.
        unsafe { &mut *self.slab.get() }.insert_with(|_| entry);
    }

    /// Puts another entry in the place of one; that is the caller's to drop.
    #[must_use = "dropping an entry runs foreign code: not inside another borrow"]
    pub(crate) fn replace(&self, token: Token, entry: Entry) -> Option<Entry> {
        // SAFETY: **Table**; if there is nothing under the token, the new entry is dropped when the
        // borrow has ended, as it is a parameter.
        let present = unsafe { &mut *self.slab.get() }.get_mut(token)?;
        Some(std::mem::replace(present, entry))
    }

    /// Takes an entry out. It is the caller's to drop.
    #[must_use = "dropping an entry runs foreign code: not inside another borrow"]
    pub(crate) fn remove(&self, token: Token) -> Option<Entry> {
        // SAFETY: **Table**.
        unsafe { &mut *self.slab.get() }.remove(token)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: **Table**.
        unsafe { &*self.slab.get() }.len()
    }

    /// The tokens of all entries.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        // SAFETY: **Table**.
        unsafe { &*self.slab.get() }.tokens().collect()
    }
}
