//! The members on one poller, and how a message gets to those on all.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_tungstenite::tungstenite::Message;
use corepoll::{ReactorHandle, with_local};

/// How many messages may wait for one member. Who is further behind is dropped: one slow reader must
/// neither hold up the others nor fill the memory.
const MOST_WAITING: usize = 1024;

/// How many bytes these may have. All members share them, so this holds for the poller as well.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The members on this poller. It lives in the poller's cache, so it needs no lock.
#[derive(Debug, Default)]
pub struct Room {
    members: Vec<Rc<RefCell<Waiting>>>,
}

/// What a member has yet to hear.
#[derive(Debug)]
pub struct Inbox(Rc<RefCell<Waiting>>);

/// An inbox, as the room has it too.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// The length of all of them.
    bytes: usize,
    /// There were too many, and they are gone.
    is_behind: bool,
    /// The member, while there is nothing.
    waker: Option<Waker>,
}

impl Room {
    /// A new member's inbox.
    pub fn join(&mut self) -> Inbox {
        // Who has gone is noticed at the next message; where none is said, now.
        self.members.retain(|member| Rc::strong_count(member) > 1);
        let waiting = Rc::new(RefCell::default());
        self.members.push(waiting.clone());
        Inbox(waiting)
    }

    /// Puts `message` into each inbox. The bytes are shared, and not copied.
    fn tell(&mut self, message: &Message) {
        self.members.retain(|member| {
            let is_here = Rc::strong_count(member) > 1;
            let stays = is_here && member.borrow_mut().put(message);
            let waker = member.borrow_mut().waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
            stays
        });
    }
}

impl Waiting {
    /// False: that is too much.
    fn put(&mut self, message: &Message) -> bool {
        self.bytes += message.len();
        self.messages.push_back(message.clone());
        self.is_behind = self.bytes > MOST_BYTES || self.messages.len() > MOST_WAITING;
        if self.is_behind {
            // At once: the member may be in the middle of hearing something for a long time.
            self.messages = VecDeque::new();
        }
        !self.is_behind
    }

    fn take(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

impl Inbox {
    /// The next message; `None` for a member who is too far behind.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| {
            let mut waiting = self.0.borrow_mut();
            match waiting.take() {
                Some(message) => Poll::Ready(Some(message)),
                None if waiting.is_behind => Poll::Ready(None),
                None => {
                    waiting.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Tells the members of all pollers. Everyone hears what is said in the same order, since broadcasts
/// come to all pollers in one order.
pub fn tell_all(reactor: &ReactorHandle, message: Message) {
    reactor.broadcast(move || with_local(|room: &mut Room| room.tell(&message)));
}
