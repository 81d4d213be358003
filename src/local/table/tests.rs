//! Places of connections: when they are used again, and what becomes of what they held.

use std::cell::Cell;
use std::io;

use super::*;
use crate::base::interest::Interest;
use crate::local::action::Action;
use crate::local::context::EvContext;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut() + 'static> EvHandler for OnDrop<F> {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Adds a connection whose handler calls `on_drop` when it is dropped.
fn add(table: &Table, on_drop: impl FnMut() + 'static) -> Token {
    let file = std::fs::File::open("/dev/null").expect("it is there");
    let fd = std::os::fd::OwnedFd::from(file).into();
    let token = table.next_token();
    let handler = Box::new(OnDrop(on_drop));
    let connection = Connection::new(token, handler, fd, Interest::READABLE, Flags::NONE);
    table.insert(NewEntry::Handler(connection));
    token
}

/// Returns the connection of `token`.
fn find(table: &Table, token: Token) -> Option<&Connection> {
    match table.get(token) {
        Some(Entry::Handler(connection)) => Some(connection),
        _ => None,
    }
}

#[test]
fn a_place_is_used_again_after_the_turn_and_not_before() {
    let table = Table::new();
    let first = add(&table, || ());
    let ended = find(&table, first).expect("it was added");
    drop(table.remove(first));
    let second = add(&table, || ());
    assert!(find(&table, first).is_none());
    assert_eq!(
        (ended.token(), ended.with_fd(|_| ()).is_some()),
        (first, true),
        "it is still looked at"
    );
    table.recycle();
    let third = add(&table, || ());
    assert!(!std::ptr::eq(ended, find(&table, second).expect("it was added")));
    assert!(std::ptr::eq(ended, find(&table, third).expect("it was added")));
    assert_eq!(ended.token(), third);
}

#[test]
fn connections_of_many_blocks_are_found_by_their_tokens() {
    let table = Table::new();
    let tokens: Vec<Token> = (0..3 * BLOCK + 1).map(|_| add(&table, || ())).collect();
    for &token in tokens.iter().step_by(2) {
        drop(table.remove(token));
    }
    table.recycle();
    let later: Vec<Token> = (0..BLOCK).map(|_| add(&table, || ())).collect();
    for (at, &token) in tokens.iter().enumerate() {
        let found = find(&table, token).map(Connection::token);
        assert_eq!(found, (at % 2 == 1).then_some(token));
    }
    assert!(later.iter().all(|&token| find(&table, token).map(Connection::token) == Some(token)));
    assert_eq!(table.len(), tokens.len() / 2 + later.len());
}

#[test]
fn what_a_connection_leaves_is_dropped_once_at_the_end_of_the_turn_or_of_the_table() {
    let (table, drops) = (Table::new(), Rc::new(Cell::new(0)));
    let count = |_| {
        let drops = drops.clone();
        add(&table, move || drops.set(drops.get() + 1))
    };
    let tokens: Vec<Token> = (0..2 * BLOCK).map(count).collect();
    tokens[..BLOCK].iter().for_each(|&token| drop(table.remove(token)));
    assert_eq!(drops.get(), 0);
    table.recycle();
    assert_eq!(drops.get(), BLOCK);
    drop(table);
    assert_eq!(drops.get(), 2 * BLOCK);
}

#[test]
fn a_destructor_at_the_end_of_the_turn_may_panic_and_may_add_connections() {
    let (table, added) = (Rc::new(Table::new()), Rc::new(Cell::new(0)));
    let weak = Rc::downgrade(&table);
    let adds = added.clone();
    let adding = add(&table, move || {
        let table = weak.upgrade().expect("it is recycling");
        drop(table.remove(add(&table, || ())));
        adds.set(adds.get() + 1);
    });
    let panicking = add(&table, || panic!("a destructor"));
    for token in [adding, panicking] {
        drop(table.remove(token));
    }
    table.recycle();
    assert_eq!((added.get(), table.len()), (1, 0));
    // What was removed meanwhile is recycled as well.
    assert_eq!(table.free_places(), BLOCK);
}
