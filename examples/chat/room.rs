//! The members on one poller, and what each has still to hear.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use async_tungstenite::tungstenite::Message;

/// The most messages that wait for one member. A member that is further behind has to go: one slow
/// reader must neither hold up the others nor fill the memory.
const MOST_WAITING: usize = 1024;

/// The most bytes of these messages. All members share them, so this holds for the poller as well.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The members on this poller. It lives in the poller's cache, which only the poller's thread touches.
#[derive(Default)]
pub struct Room(Vec<Weak<RefCell<Waiting>>>);

/// The messages for one member. The member has left once this is dropped.
pub struct Inbox(Rc<RefCell<Waiting>>);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// The length of all of them.
    bytes: usize,
    /// There were too many, and they are gone.
    is_behind: bool,
    /// Wakes the member's task, while it waits for a message.
    waker: Option<Waker>,
}

impl Room {
    /// Lets a new member in.
    pub fn join(&mut self) -> Inbox {
        self.0.retain(|member| member.strong_count() > 0);
        let inbox = Rc::default();
        self.0.push(Rc::downgrade(&inbox));
        Inbox(inbox)
    }

    /// Puts `message` into each inbox. Its bytes are shared, and not copied.
    pub fn tell(&mut self, message: &Message) {
        self.0.retain(|member| {
            let Some(waiting) = member.upgrade() else { return false };
            let stays = waiting.borrow_mut().push(message.clone());
            let waker = waiting.borrow_mut().waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
            stays
        });
    }
}

impl Waiting {
    /// Returns `false` if that is too much for this member.
    fn push(&mut self, message: Message) -> bool {
        self.bytes += message.len();
        self.messages.push_back(message);
        self.is_behind = self.bytes > MOST_BYTES || self.messages.len() > MOST_WAITING;
        if self.is_behind {
            // At once: the member may be in the middle of an earlier message for long.
            self.messages = VecDeque::new();
        }
        !self.is_behind
    }
}

impl Inbox {
    /// Waits for the next message. Returns `None` if the member is too far behind.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| {
            let mut waiting = self.0.borrow_mut();
            if let Some(message) = waiting.messages.pop_front() {
                waiting.bytes -= message.len();
                return Poll::Ready(Some(message));
            }
            if waiting.is_behind {
                return Poll::Ready(None);
            }
            waiting.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}
