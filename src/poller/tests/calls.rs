//! What a turn reports to a stall watch.

use crate::parts::activity::Activity;
use crate::parts::budget::Budget;
use crate::poller::UnboundPoller;
use crate::task;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_turn_that_does_not_wait_leaves_no_call_behind() {
    let activity = Arc::new(Activity::new(Arc::default()));
    let mut unbound = UnboundPoller::new(0, Budget::default(), 1024).unwrap();
    unbound.set_activity(activity.clone());
    let poller = unbound.bind();
    let entered = poller.enter();
    let seen_by_task = activity.clone();
    let task = task::spawn(async move { seen_by_task.current_call.get().is_some() });
    poller.turn(Some(Duration::ZERO)).unwrap();
    assert!(activity.current_call.get().is_none());
    let Ok(mut task) = task else { unreachable!("the thread is in a poller") };
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let reported = std::future::Future::poll(std::pin::Pin::new(&mut task), &mut cx);
    assert!(matches!(reported, std::task::Poll::Ready(Ok(true))));
    drop(entered);
}
