//! corepoll's timers, of handlers and of tasks.

use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use corepoll::time::sleep_until;
use corepoll::{Action, EvContext, EvHandler, Interest, Reactor, TimerId, spawn_local};

use super::{FIRST_AFTER, Figures, Tasks, arm_and_drop, cpu_of, deadline, soon, too_slow};
use crate::sys;

pub(super) fn measure_tasks(count: usize) -> io::Result<Figures> {
    let reactor = Reactor::builder().pollers(1).build()?;
    reactor.run_until(async move {
        let (arm, cancel, bytes) = arm_and_drop(count, sleep_until)?;
        for after in FIRST_AFTER {
            let first = Instant::now() + after;
            let tasks = Rc::new(Tasks::new(count));
            for number in 0..count {
                let tasks = tasks.clone();
                drop(spawn_local(async move {
                    tasks.wait_for(sleep_until(soon(first, number))).await;
                }));
            }
            if let Some(fire) = tasks.fire(count, first).await? {
                return Ok(Figures { arm, cancel, fire, bytes });
            }
        }
        Err(too_slow())
    })?
}

pub(super) fn measure_handler(count: usize) -> io::Result<Figures> {
    let running = Reactor::builder().pollers(1).build()?.start()?;
    let (near, _far) = UnixStream::pair()?;
    let (done, measured) = mpsc::channel();
    let handler = move || Handler::new(count, done);
    running.handle().pollers()[0].register(near.into(), Interest::READABLE, handler)?;
    let figures = measured.recv().map_err(io::Error::other)?;
    running.handle().shutdown(Duration::ZERO);
    running.join()?;
    figures
}

/// Measures in its callbacks.
struct Handler {
    count: usize,
    done: mpsc::Sender<io::Result<Figures>>,
    /// What is known so far.
    figures: Figures,
    /// The timers that have not fired.
    waiting: usize,
    /// How often it has been tried to arm all before the first is due.
    tries: usize,
    /// CPU time when all were armed; None if that was too late.
    armed: Option<Duration>,
}

impl Handler {
    fn new(count: usize, done: mpsc::Sender<io::Result<Figures>>) -> Handler {
        let figures = Figures { arm: 0.0, cancel: 0.0, fire: 0.0, bytes: 0.0 };
        Handler { count, done, figures, waiting: 0, tries: 0, armed: None }
    }

    /// Arms all and cancels all.
    fn arm_and_cancel(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        let count = self.count;
        let start = Instant::now();
        let before = sys::resident_bytes("self")?;
        let mut timers: Vec<TimerId> = Vec::with_capacity(count);
        let ((), arm) = cpu_of(count, || {
            timers.extend((0..count).map(|number| cx.set_timer(deadline(start, number) - start)));
        })?;
        let bytes = (sys::resident_bytes("self")? as f64 - before as f64) / count as f64;
        let (cancelled, cancel) =
            cpu_of(count, || timers.iter().filter(|timer| cx.cancel_timer(**timer)).count())?;
        if cancelled < count {
            return Err(io::Error::other("a timer was not there to be cancelled"));
        }
        self.figures = Figures { arm, cancel, fire: 0.0, bytes };
        Ok(())
    }

    /// Arms those that are to fire.
    fn arm_to_fire(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        let after = FIRST_AFTER.get(self.tries).ok_or_else(too_slow)?;
        self.tries += 1;
        let first = Instant::now() + *after;
        for number in 0..self.count {
            cx.set_timer(soon(first, number).saturating_duration_since(Instant::now()));
        }
        self.waiting = self.count;
        self.armed = if Instant::now() < first { Some(sys::cpu_time()?) } else { None };
        Ok(())
    }

    /// Takes one that has fired.
    fn fired(&mut self, cx: &mut EvContext<'_>) -> io::Result<()> {
        self.waiting -= 1;
        if self.waiting > 0 {
            return Ok(());
        }
        let Some(armed) = self.armed else { return self.arm_to_fire(cx) };
        self.figures.fire = (sys::cpu_time()? - armed).as_nanos() as f64 / self.count as f64;
        let _ = self.done.send(Ok(self.figures));
        Ok(())
    }

    /// Tells an error to the thread that waits.
    fn or_tell(&self, done: io::Result<()>) -> Action {
        match done {
            Ok(()) => Action::Keep,
            Err(error) => {
                let _ = self.done.send(Err(error));
                Action::Close
            }
        }
    }
}

impl EvHandler for Handler {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let begun = self.arm_and_cancel(cx).and_then(|()| self.arm_to_fire(cx));
        Ok(self.or_tell(begun))
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }

    fn on_timeout(&mut self, cx: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        let fired = self.fired(cx);
        Ok(self.or_tell(fired))
    }
}
