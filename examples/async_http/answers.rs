//! The answers of one connection, put into the order of its requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use corepoll::Writer;

/// The answers of one connection, on their way from the workers.
pub struct Answers {
    writer: Writer,
    order: Mutex<Order>,
}

#[derive(Default)]
struct Order {
    /// How many have been written: the number of the next one.
    written: u64,
    /// Answers that are ready before their turn.
    early: BTreeMap<u64, Vec<u8>>,
    /// The connection ends when this many have been written.
    last: Option<u64>,
}

impl Answers {
    pub fn new(writer: Writer) -> Answers {
        Answers { writer, order: Mutex::default() }
    }

    /// Writes this answer when those before it have been.
    pub fn put(&self, number: u64, answer: Vec<u8>) {
        self.change(|order| drop(order.early.insert(number, answer)));
    }

    /// Ends the connection after `asked` answers.
    pub fn end_after(&self, asked: u64) {
        self.change(|order| order.last = Some(asked));
    }

    /// How many answers have been written.
    pub fn written(&self) -> u64 {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).written
    }

    /// Bytes that the client's kernel hasn't taken yet.
    pub fn pending(&self) -> usize {
        self.writer.pending()
    }

    /// Writes what has its turn. The lock is held meanwhile: a writer keeps the order of the calls, and
    /// this makes the calls of two workers follow each other.
    fn change(&self, change: impl FnOnce(&mut Order)) {
        let mut guard = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let order = &mut *guard;
        change(order);
        while let Some(answer) = order.early.remove(&order.written) {
            order.written += 1;
            // An error says that the connection has gone: nobody waits for the answer any more.
            let _ = self.writer.write(answer);
        }
        if order.last == Some(order.written) {
            self.writer.close();
        }
    }
}
