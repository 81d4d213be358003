//! What pollers still do when they are shut down: tasks that wait for it and work on in the grace, and
//! what must not begin any more after it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corepoll::{ReactorHandle, shutdown_requested, time};

use crate::model::{model, now};

/// The tasks that a reactor has in its grace.
#[derive(Debug)]
pub struct LastTasks {
    /// How many have been told of the shutdown.
    told: Arc<AtomicUsize>,
    /// How many have done their work.
    done: Arc<AtomicUsize>,
}

thread_local! {
    /// When the last shutdown was asked for.
    static ASKED_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl LastTasks {
    /// Starts one on each poller, and lets it wait for the shutdown.
    pub async fn start(reactor: &ReactorHandle) -> LastTasks {
        ASKED_AT.set(None);
        let (told, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        for poller in reactor.pollers() {
            let (told, done) = (told.clone(), done.clone());
            drop(poller.spawn_on(move || work_in_grace(told, done)));
        }
        time::sleep(model().plan.promptness()).await;
        LastTasks { told, done }
    }

    /// Asks for the shutdown.
    pub fn shut_down(&self, reactor: &ReactorHandle) {
        let grace = model().plan.grace;
        ASKED_AT.set(Some(now()));
        reactor.shutdown(grace);
        for poller in reactor.pollers().iter().filter(|_| grace.is_zero()) {
            // It may have ended already, which is right.
            let _ = poller.run_on(|| model().violated("a closure has begun after the grace"));
        }
    }

    /// Checks what they have done when the reactor has ended.
    pub fn check(&self, pollers: usize) {
        if worktime().is_none() {
            return;
        }
        let counts = [&self.told, &self.done].map(|count| count.load(Ordering::Relaxed));
        if counts != [pollers; 2] {
            let [told, done] = counts;
            model().violated(format_args!(
                "of {pollers} tasks {told} were told of the shutdown, and {done} had their grace"
            ));
        }
    }
}

/// Returns how long a task can work in the grace for certain, if it can. A host that stands still has no
/// time to.
fn worktime() -> Option<Duration> {
    let plan = &model().plan;
    plan.grace.checked_sub(3 * plan.promptness()).filter(|_| plan.timing.pause.is_none())
}

/// Waits for the shutdown, and works for nearly as long as it has time.
async fn work_in_grace(told: Arc<AtomicUsize>, done: Arc<AtomicUsize>) {
    shutdown_requested().await;
    let Some(begun) = ASKED_AT.get() else {
        return model().violated("a task was told of a shutdown that nothing has asked for");
    };
    model().check_prompt("the news of a shutdown", now() - begun);
    told.fetch_add(1, Ordering::Relaxed);
    let Some(work) = worktime() else { return };
    time::sleep_until(begun + work).await;
    done.fetch_add(1, Ordering::Relaxed);
    drop(corepoll::spawn_local(async move {
        time::sleep_until(begun + model().plan.grace + Duration::from_millis(1)).await;
        model().violated("a timer has fired after the grace");
    }));
}
