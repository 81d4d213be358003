//! The members on one poller, and how a message gets to those on all.

use async_tungstenite::tungstenite::Message;
use corepoll::{ReactorHandle, with_local};
use futures::channel::mpsc::{Receiver, Sender, channel};

/// How many messages may wait for one member. Who is further behind is dropped: one slow reader must
/// neither hold up the others nor fill the memory.
const MOST_WAITING: usize = 1024;

/// The members on this poller. It lives in the poller's cache, so it needs no lock.
#[derive(Debug, Default)]
pub struct Room {
    members: Vec<Sender<Message>>,
}

impl Room {
    /// A new member's inbox. It ends when the member is too far behind.
    pub fn join(&mut self) -> Receiver<Message> {
        // Who has gone is noticed at the next message; where none is said, now.
        self.members.retain(|member| !member.is_closed());
        let (sender, inbox) = channel(MOST_WAITING);
        self.members.push(sender);
        inbox
    }

    /// Puts `message` into each inbox. The bytes are shared, and not copied.
    fn tell(&mut self, message: &Message) {
        self.members.retain_mut(|member| member.try_send(message.clone()).is_ok());
    }
}

/// Tells the members of all pollers. Everyone hears what is said in the same order, since broadcasts
/// come to all pollers in one order.
pub fn tell_all(reactor: &ReactorHandle, message: Message) {
    reactor.broadcast(move || with_local(|room: &mut Room| room.tell(&message)));
}
