//! A crash leaves out destructors, and nothing that relies on them finds its memory gone.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use corepoll::sim::{self, Simulation};
use corepoll::{Reactor, block_on, spawn_blocking, time};

use super::ms;
use crate::common::PATIENCE;

const HOUR: Duration = Duration::from_secs(3600);

/// Lends a value on its stack to a thread of the process, which changes it once it is told to. Calls
/// `block` meanwhile: the end of the scope would wait for that thread.
fn lend(told: Receiver<()>, seen: Sender<u64>, block: impl FnOnce()) {
    let on_the_stack = AtomicU64::new(7);
    thread::scope(|scope| {
        let lent = &on_the_stack;
        scope.spawn(move || {
            told.recv_timeout(PATIENCE).unwrap();
            seen.send(lent.fetch_add(1, SeqCst)).unwrap();
        });
        block();
        panic!("it has crashed long ago");
    });
}

/// Crashes a host while `program` lends what is on its stack, which is used after that.
fn crash_while<P>(program: impl FnOnce(Receiver<()>, Sender<u64>) -> P)
where
    P: Future<Output = io::Result<()>> + 'static,
{
    let ((tell, told), (saw, seen)) = (channel(), channel());
    let mut sim = Simulation::new(1);
    sim.client("victim", program(told, saw));
    sim.client("other", async move {
        time::sleep(ms(500)).await;
        sim::control().crash("victim");
        time::sleep(ms(500)).await;
        // Other stacks would take the place of one that has been freed.
        for _ in 0..8 {
            spawn_blocking(|| ()).await?;
        }
        tell.send(()).unwrap();
        assert_eq!(seen.recv_timeout(PATIENCE), Ok(7));
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn code_that_computes_is_lent_from_after_a_crash() {
    crash_while(|told, saw| async move {
        lend(told, saw, || sim::compute(HOUR));
        Ok(())
    });
}

#[test]
fn a_blocking_call_is_lent_from_after_a_crash() {
    crash_while(|told, saw| async move {
        spawn_blocking(move || lend(told, saw, || block_on(time::sleep(HOUR)))).await?;
        Ok(())
    });
}

#[test]
fn code_that_waits_for_a_reactor_is_lent_from_after_a_crash() {
    crash_while(|told, saw| async move {
        let running = Reactor::builder().pollers(1).build()?.start()?;
        lend(told, saw, || drop(running.join()));
        Ok(())
    });
}

/// Computes when it is dropped.
struct Computes(Rc<Cell<bool>>);

impl Drop for Computes {
    fn drop(&mut self) {
        sim::compute(ms(1));
        self.0.set(true);
    }
}

#[test]
fn a_simulation_may_end_inside_of_another_one() {
    let has_ended = Rc::new(Cell::new(false));
    let computes = Computes(has_ended.clone());
    let mut inner = Simulation::new(1);
    inner.client("client", async move {
        let _computes = computes;
        Ok(())
    });
    let mut sim = Simulation::new(1);
    sim.client("first", async { Ok(()) });
    sim.client("second", async move {
        // The thread that runs is the second of its own simulation, and the inner one has no second.
        drop(inner);
        Ok(())
    });
    sim.run().unwrap();
    assert!(has_ended.get());
}
