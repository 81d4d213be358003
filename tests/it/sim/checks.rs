//! Conditions that hold after each step, and what they see.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::{self, Faults, Simulation};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, spawn_local, time};
use futures::{AsyncWriteExt, FutureExt};

use super::{add_echo, ask, ms};

#[test]
fn a_check_that_does_not_hold_fails_the_simulation_at_that_step() {
    let mut sim = Simulation::new(1);
    let count = Rc::new(Cell::new(0));
    let checked = count.clone();
    sim.check(move |_| if checked.get() < 3 { Ok(()) } else { Err("three".to_owned()) });
    sim.client("client", async move {
        for _ in 0..10 {
            time::sleep(ms(1)).await;
            count.set(count.get() + 1);
            drop(TcpListener::bind("0.0.0.0:7").await?);
        }
        Ok(())
    });
    let failure = sim.run().unwrap_err();
    // Each listener is opened and closed.
    assert_eq!((&*failure.message, failure.step), ("three", 6));
}

#[test]
fn what_a_program_leaves_unread_is_seen_until_it_reads() {
    let mut sim = Simulation::new(1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sees = seen.clone();
    sim.check(move |snapshot| {
        let mut unread = snapshot.unread();
        if let Some(unread) = unread.next() {
            assert!(unread.local.port() == 7 && unread.time <= snapshot.passed());
            sees.borrow_mut().push((unread.bytes, unread.time));
        }
        Ok(())
    });
    sim.host("server", || async {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        let (stream, _) = listener.accept().await?;
        time::sleep(Duration::from_secs(5)).await;
        assert_eq!(stream.read_chunk().await?.len(), 3);
        time::sleep(Duration::from_secs(5)).await;
        assert_eq!(stream.read_chunk().await?.len(), 0);
        std::future::pending().await
    });
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        time::sleep(Duration::from_secs(1)).await;
        stream.write_all(b"abc").await?;
        time::sleep(Duration::from_secs(6)).await;
        stream.close().await?;
        time::sleep(Duration::from_secs(100)).await;
        Ok(())
    });
    sim.run().unwrap();
    let seen = seen.borrow();
    let longest =
        |count: usize| seen.iter().filter(|(bytes, _)| *bytes == count).map(|it| it.1).max();
    // Bytes of the first second are read after the fifth, and the end of the seventh after the tenth.
    for (count, seconds) in [(3, 4), (0, 3)] {
        let longest = longest(count).expect("it was unread");
        assert!(longest.as_millis().abs_diff(seconds * 1000) < 100, "{count}: {longest:?}");
    }
}

/// Reads what there is.
struct Reader;

impl EvHandler for Reader {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
}

#[test]
fn an_urgent_byte_that_is_alone_does_not_count_as_unread() {
    let mut sim = Simulation::new(1);
    let longest = Rc::new(Cell::new(Duration::ZERO));
    let sees = longest.clone();
    sim.check(move |snapshot| {
        let served = snapshot.unread().filter(|unread| unread.local.port() == 7);
        sees.set(sees.get().max(served.map(|unread| unread.time).max().unwrap_or_default()));
        Ok(())
    });
    // A handler reads once for each event, and does not ask whether there is more.
    sim.host("server", || async {
        let reactor = Reactor::builder().pollers(1).build()?;
        Acceptor::new("0.0.0.0:7").listen(&reactor.handle(), || Reader)?;
        let _running = reactor.start()?;
        std::future::pending().await
    });
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        stream.write_all(b"abc").await?;
        time::sleep(Duration::from_secs(60)).await;
        stream.set_linger(Some(Duration::ZERO))?;
        drop(stream);
        time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    sim.faults(Faults::default().urgent(1.0));
    sim.keep_trace();
    sim.run().unwrap();
    assert!(sim.trace().iter().any(|line| line.ends_with("adds an urgent byte")));
    // The reset comes a minute after the byte, and is heard of at once.
    assert!(longest.get() < Duration::from_secs(1), "{:?}", longest.get());
}

#[test]
fn descriptors_are_counted_for_each_host() {
    let mut sim = Simulation::new(1);
    let most = Rc::new(Cell::new((0, 0)));
    let counts = most.clone();
    sim.check(move |snapshot| {
        assert_eq!(snapshot.descriptors("nobody"), None);
        let count = |name| snapshot.descriptors(name).unwrap();
        counts.set((counts.get().0.max(count("server")), counts.get().1.max(count("client"))));
        Ok(())
    });
    add_echo(&mut sim);
    sim.client("client", async {
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut stream = TcpStream::connect("server:7").await?;
            ask(&mut stream, b"hello").await?;
            streams.push(stream);
        }
        Ok(())
    });
    sim.run().unwrap();
    // An epoll instance and an eventfd each, and a listener.
    assert_eq!(most.get(), (3 + 5, 2 + 5));
}

#[test]
fn code_that_computes_keeps_its_poller_and_no_other() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("busy", async {
        let start = time::now();
        spawn_local(async { sim::compute(Duration::from_secs(9)) });
        time::sleep(ms(1)).await;
        assert!(time::now() - start >= Duration::from_secs(9));
        Ok(())
    });
    sim.client("client", async {
        let mut stream = TcpStream::connect("server:7").await?;
        let start = time::now();
        for _ in 0..100 {
            ask(&mut stream, b"hello").await?;
        }
        assert!(time::now() - start < Duration::from_secs(8));
        Ok(())
    });
    sim.faults(Faults::default().latency(ms(1)..ms(9)));
    sim.run().unwrap();
    // Outside of a simulation it takes no time, or this test would.
    sim::compute(Duration::from_secs(100_000));
}

#[test]
fn a_check_may_read_the_clock_and_crash_a_host() {
    let mut sim = Simulation::new(1);
    sim.host("server", std::future::pending);
    let control = sim.control();
    sim.check(move |snapshot| {
        let mut unread = snapshot.unread();
        assert!(time::now() < time::now() && unread.next().is_none());
        if snapshot.passed() >= ms(5) && control.is_running("server") {
            control.crash("server");
        }
        Ok(())
    });
    sim.client("client", time::sleep(ms(10)).map(Ok));
    sim.run().unwrap();
    assert!(!sim.control().is_running("server"));
}
