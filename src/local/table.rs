//! The table: what each token of this poller stands for.
//!
//! An idle connection takes 64 bytes here: a slot of 16, which is a generation and a pointer, and a
//! place of 48, which is the [`Connection`] itself. Places stand side by side in blocks, without the
//! headers of an allocator, and without the counts of an `Rc`: a reference to a connection lives no
//! longer than the borrow of the poller that it was looked up with.
//!
//! There is unsafe code here because the look-up is a part of every event: a `RefCell` around the
//! slab takes eight instructions of a hundred and seventy, 4.5 % of the path that `cargo run
//! --release -p versus -- instructions` counts.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use crate::base::slab::Slab;
use crate::base::token::Token;
use crate::local::attempt::Attempt;
use crate::local::connection::Connection;
use crate::local::source::Source;
use crate::sys::epoll::Event;

/// The number of places in a block: 3 KiB. A poller with few connections takes one block.
const BLOCK: usize = 64;

/// What a token stands for.
pub(crate) enum Entry<'a> {
    /// A connection with a handler.
    Handler(&'a Connection),
    /// A descriptor that tasks wait on.
    Readiness(Rc<Source>),
    /// A connection that is being made.
    Connecting(Rc<Attempt>),
}

/// What is put into the table.
pub(crate) enum NewEntry {
    /// A connection with a handler.
    Handler(Connection),
    /// A descriptor that tasks wait on.
    Readiness(Rc<Source>),
    /// A connection that is being made.
    Connecting(Rc<Attempt>),
}

/// What an event is for.
pub(crate) enum Addressee<'a> {
    /// A connection with a handler, one of whose callbacks is to be called.
    Handler(&'a Connection),
    /// A descriptor of tasks that has noted the event. Nothing is left to do.
    Noted,
    /// Any other entry, for which more is to be done, or one that has been removed. It is looked up
    /// anew: what the usual event carries fits into registers, and has no destructor.
    Other,
}

/// The entries of a poller, by token.
///
/// The invariant **Table**: a reference to what is in the cell lives inside one method of this type
/// only, and no method calls anything meanwhile that could come back to the table: not the owner of
/// an entry, whose drop is foreign, but at most the clone of an `Rc`, [`Connection::fill`], which
/// drops nothing, and [`Source::mark`], which sets bits and queues a task. It is not Sync, so no other
/// thread has one either.
///
/// The invariant **Place**: a place is freed with the table and not before, it never moves, and
/// nothing but shared references to it are made. So a reference to a connection is valid for as
/// long as a borrow of the table.
pub(crate) struct Table {
    /// The entries and the places. Reached only under the invariant **Table**.
    content: UnsafeCell<Content>,
}

/// What a table consists of.
struct Content {
    /// What each token stands for.
    slab: Slab<Packed>,
    /// Places in which no connection is.
    free: Vec<NonNull<Connection>>,
    /// Places of connections that have been removed in this turn: code that has called a callback
    /// may still look at them.
    retired: Vec<NonNull<Connection>>,
    /// All places, by blocks of [`BLOCK`].
    blocks: Vec<NonNull<[Connection; BLOCK]>>,
}

impl Table {
    /// Makes an empty table.
    pub(crate) const fn new() -> Table {
        Table {
            content: UnsafeCell::new(Content {
                slab: Slab::new(),
                free: Vec::new(),
                retired: Vec::new(),
                blocks: Vec::new(),
            }),
        }
    }

    /// Finds out what an event is for. The usual event of a task's descriptor is done in here,
    /// inside of the look-up, so that it needs neither a clone of the `Rc` nor a second look.
    #[inline(always)]
    pub(crate) fn address(&self, token: Token, event: Event) -> Addressee<'_> {
        // SAFETY: **Table**.
        let slab = unsafe { &(*self.content.get()).slab };
        let address = slab.read(token, |it| it.map_or(ptr::null_mut(), |it| it.address.as_ptr()));
        let Some(address) = address else { return Addressee::Other };
        // Each of the usual kinds has a bit, which also tells that there is an entry.
        if address.addr() & HANDLER != 0 {
            // SAFETY: **Place**: the kind says that it is the address of one.
            return Addressee::Handler(unsafe { &*address.wrapping_sub(HANDLER).cast() });
        }
        if address.addr() & READINESS != 0 {
            // SAFETY: the kind says that it is the address of a source, which the entry holds.
            let source: &Source = unsafe { &*address.wrapping_sub(READINESS).cast() };
            if source.mark(event) {
                return Addressee::Noted;
            }
        }
        Addressee::Other
    }

    /// Returns what `token` stands for, unless it has been removed.
    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<Entry<'_>> {
        // SAFETY: **Table**.
        unsafe { &*self.content.get() }.slab.get(token).map(Packed::look)
    }

    /// Returns the token that the next entry is going to have.
    pub(crate) fn next_token(&self) -> Token {
        // SAFETY: **Table**.
        unsafe { &mut *self.content.get() }.slab.next_token()
    }

    /// Adds an entry, under the token that [`Table::next_token`] has returned.
    pub(crate) fn insert(&self, entry: NewEntry) {
        // SAFETY: **Table**.
        let content = unsafe { &mut *self.content.get() };
        let packed = content.pack(entry);
        content.slab.insert_with(|_| packed);
    }

    /// Replaces an entry that is no connection, and returns the old one, which the caller drops.
    #[must_use = "dropping an entry runs foreign code: not inside another borrow"]
    pub(crate) fn replace(&self, token: Token, entry: NewEntry) -> Option<Entry<'_>> {
        // SAFETY: **Table**. If there is nothing under the token, the new entry is dropped when the
        // borrow has ended, as it is a parameter.
        let content = unsafe { &mut *self.content.get() };
        content.slab.get(token)?;
        let packed = content.pack(entry);
        let old = std::mem::replace(content.slab.get_mut(token)?, packed);
        Some(content.unpack(old))
    }

    /// Removes an entry, and returns it, which the caller drops. A connection stays in its place
    /// until [`Table::recycle`].
    #[must_use = "dropping an entry runs foreign code: not inside another borrow"]
    pub(crate) fn remove(&self, token: Token) -> Option<Entry<'_>> {
        // SAFETY: **Table**.
        let content = unsafe { &mut *self.content.get() };
        let packed = content.slab.remove(token)?;
        Some(content.unpack(packed))
    }

    /// Frees the places of the connections that have been removed, for new ones. Called at the end
    /// of a turn, when no code looks at a connection that it has looked up before.
    #[inline]
    pub(crate) fn recycle(&self) {
        // SAFETY: **Table**.
        if !unsafe { &*self.content.get() }.retired.is_empty() {
            self.recycle_retired();
        }
    }

    /// Does what [`Table::recycle`] is for.
    #[cold]
    fn recycle_retired(&self) {
        // SAFETY: **Table**, for the pop alone.
        while let Some(place) = unsafe { &mut *self.content.get() }.retired.pop() {
            // Foreign code runs in this, so nothing is borrowed meanwhile.
            // SAFETY: **Place**.
            unsafe { place.as_ref() }.vacate();
            // SAFETY: **Table**, for the push alone.
            unsafe { &mut *self.content.get() }.free.push(place);
        }
    }

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: **Table**.
        unsafe { &*self.content.get() }.slab.len()
    }

    /// Returns how many places are free.
    #[cfg(test)]
    fn free_places(&self) -> usize {
        // SAFETY: **Table**.
        unsafe { &*self.content.get() }.free.len()
    }

    /// Returns the tokens of all entries.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        // SAFETY: **Table**.
        unsafe { &*self.content.get() }.slab.tokens().collect()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for block in std::mem::take(&mut self.content.get_mut().blocks) {
            // SAFETY: `Content::place` has made it of a box, and **Place**: no reference outlives the
            // table. The slab and the lists hold addresses only, of which none is used any more.
            drop(unsafe { Box::from_raw(block.as_ptr()) });
        }
    }
}

impl Content {
    /// Packs an entry. A connection moves to a free place.
    fn pack(&mut self, entry: NewEntry) -> Packed {
        match entry {
            NewEntry::Handler(connection) => {
                let place = self.free.pop().unwrap_or_else(|| self.add_block());
                // SAFETY: **Place**. It is free, and so vacant.
                unsafe { place.as_ref() }.fill(connection);
                Packed::new(place.as_ptr(), HANDLER)
            }
            NewEntry::Readiness(source) => Packed::new(Rc::into_raw(source), READINESS),
            NewEntry::Connecting(attempt) => Packed::new(Rc::into_raw(attempt), CONNECTING),
        }
    }

    /// Adds a block of places, and returns the first of them.
    #[cold]
    fn add_block(&mut self) -> NonNull<Connection> {
        let block = Box::new(std::array::from_fn(|_| Connection::vacant()));
        let block: NonNull<[Connection; BLOCK]> = NonNull::from(Box::leak(block));
        self.blocks.push(block);
        let first = block.cast::<Connection>();
        // The next place is taken from the end, so that connections stand in the order in which they
        // came, and memory is touched as it is needed.
        // SAFETY: the block has as many places.
        self.free.extend((1..BLOCK).rev().map(|at| unsafe { first.add(at) }));
        first
    }

    /// Turns what the slab has held into an entry, which takes its count over. The place of a
    /// connection is retired.
    fn unpack<'a>(&mut self, packed: Packed) -> Entry<'a> {
        let packed = ManuallyDrop::new(packed);
        if packed.kind() == HANDLER {
            self.retired.push(NonNull::from(packed.connection()));
        }
        // SAFETY: the count that `packed` had, and does not give up, is the entry's.
        unsafe { packed.take() }
    }
}

/// The kinds of entries, as the lowest bits of a [`Packed`].
const HANDLER: usize = 1;
/// A pointer of an `Rc<Source>`.
const READINESS: usize = 2;
/// A pointer of an `Rc<Attempt>`.
const CONNECTING: usize = 0;
/// The bits of the kind.
const KIND: usize = 3;

const _: () = assert!(align_of::<Connection>() > KIND && align_of::<Source>() > KIND);
const _: () = assert!(align_of::<Attempt>() > KIND);

/// An entry in one word: the address of a place, or of what an `Rc` points to, with the kind in its
/// lowest bits. It holds a count of the `Rc`.
struct Packed {
    /// The address and the kind.
    address: NonNull<u8>,
}

impl Packed {
    /// Packs the address of a place, or of what an `Rc` has given up a count of.
    fn new<T>(pointer: *const T, kind: usize) -> Packed {
        let address = pointer.cast_mut().cast::<u8>().map_addr(|address| address | kind);
        Packed { address: NonNull::new(address).expect("it points to something") }
    }

    /// Returns the kind of the entry.
    #[inline]
    fn kind(&self) -> usize {
        self.address.addr().get() & KIND
    }

    /// Returns the address as that of a `T`, which is the type of `kind`, the kind of the entry.
    #[inline]
    fn pointer<T>(&self, kind: usize) -> *const T {
        debug_assert!(self.kind() == kind);
        // Taken off and not masked out: it becomes a part of each access.
        self.address.as_ptr().map_addr(|address| address.wrapping_sub(kind)).cast()
    }

    /// Returns the connection, if the kind is `HANDLER`.
    #[inline]
    fn connection<'a>(&self) -> &'a Connection {
        // SAFETY: **Place**; the methods of the table return it for as long as they are borrowed.
        unsafe { &*self.pointer(HANDLER) }
    }

    /// Returns the entry, with a count of its own.
    #[inline]
    fn look<'a>(&self) -> Entry<'a> {
        // SAFETY: the count that this holds keeps what it points to alive.
        unsafe {
            match self.kind() {
                HANDLER => {}
                READINESS => Rc::increment_strong_count(self.pointer::<Source>(READINESS)),
                _ => Rc::increment_strong_count(self.pointer::<Attempt>(CONNECTING)),
            }
            self.take()
        }
    }

    /// Returns the entry, without counting it.
    ///
    /// # Safety
    ///
    /// The count of an `Rc` becomes the entry's. **Place**: a reference is used no longer than the
    /// table.
    #[inline]
    unsafe fn take<'a>(&self) -> Entry<'a> {
        // SAFETY: the caller's contract; the address is of the type that the kind says.
        unsafe {
            match self.kind() {
                HANDLER => Entry::Handler(self.connection()),
                READINESS => Entry::Readiness(Rc::from_raw(self.pointer(READINESS))),
                _ => Entry::Connecting(Rc::from_raw(self.pointer(CONNECTING))),
            }
        }
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        // A place is freed by the table, and may be gone.
        if self.kind() != HANDLER {
            // SAFETY: the count goes with the entry.
            drop(unsafe { self.take() });
        }
    }
}

/// An idle connection takes a slot of this size, a place, and what its handler takes.
const _: () = assert!(size_of::<Option<Packed>>() == 8);

#[cfg(test)]
mod tests;
