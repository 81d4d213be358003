//! Programs of both APIs run in a simulation as they do elsewhere.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use corepoll::net::{TcpKeepalive, TcpStream};
use corepoll::sim::{Faults, Simulation};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, time};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::{add_echo, ask, ms};

#[test]
fn tasks_exchange_bytes_by_names_of_hosts() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        for number in 0..3_u8 {
            sim.client(format!("client {number}"), async move {
                let mut stream = TcpStream::connect("server:7").await?;
                for length in [1, 100, 20_000] {
                    ask(&mut stream, &vec![number; length]).await?;
                }
                Ok(())
            });
        }
        sim.faults(Faults::default().latency(ms(1)..ms(50)).drop(0.02).short_io(0.2));
        sim.run().unwrap();
    }
}

/// Counts a connection, and sends back what it gets.
struct Echo(Rc<RefCell<Vec<&'static str>>>);

impl EvHandler for Echo {
    fn on_open(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.0.borrow_mut().push("open");
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let bytes = cx.read()?;
        if bytes.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&bytes)?;
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, _reason: corepoll::CloseReason) {
        self.0.borrow_mut().push("close");
    }
}

thread_local! {
    /// What the handlers of the last simulation were told.
    static TOLD: Rc<RefCell<Vec<&'static str>>> = Rc::default();
}

#[test]
fn a_reactor_with_several_pollers_serves_handlers() {
    for seed in 0..20 {
        TOLD.with(|told| told.borrow_mut().clear());
        let mut sim = Simulation::new(seed);
        sim.host("server", || async {
            let reactor = Reactor::builder().pollers(3).build()?;
            let acceptor = Acceptor::new("0.0.0.0:7");
            let _listening = acceptor.listen(&reactor.handle(), || Echo(TOLD.with(Rc::clone)))?;
            let running = reactor.start()?;
            time::sleep(Duration::from_secs(100)).await;
            running.handle().shutdown(ms(500));
            // It blocks this thread of the simulation, and no other.
            running.join()?;
            TOLD.with(|told| told.borrow_mut().push("joined"));
            Ok(())
        });
        sim.client("client", async {
            for _ in 0..8 {
                let mut stream = TcpStream::connect("server:7").await?;
                ask(&mut stream, b"hello").await?;
                stream.close().await?;
                assert_eq!(stream.read(&mut [0; 8]).await?, 0);
            }
            time::sleep(Duration::from_secs(200)).await;
            Ok(())
        });
        sim.faults(Faults::default().latency(ms(1)..ms(20)));
        sim.run().unwrap();
        let told = TOLD.with(|told| told.borrow().clone());
        let count = |what: &str| told.iter().filter(|it| **it == what).count();
        assert_eq!((count("open"), count("close"), count("joined")), (8, 8, 1), "seed {seed}");
    }
}

#[test]
fn a_day_passes_in_a_moment_and_timers_keep_their_order() {
    let mut sim = Simulation::new(1);
    sim.client("client", async {
        let start = time::now();
        let hours = (1..=23).rev().map(|hour| async move {
            time::sleep(Duration::from_secs(hour * 3600)).await;
            (hour, time::now())
        });
        for (hour, at) in futures::future::join_all(hours).await {
            let passed = at - start;
            assert!(passed >= Duration::from_secs(hour * 3600), "never early");
            assert!(passed < Duration::from_secs(hour * 3600 + 1), "and not late");
        }
        Ok(())
    });
    sim.run().unwrap();
    assert!(sim.steps() < 1000);
}

#[test]
fn the_options_of_a_connection_are_kept() {
    let mut sim = Simulation::new(1);
    add_echo(&mut sim);
    sim.client("client", async {
        let stream = TcpStream::connect("server:7").await?;
        assert_eq!((stream.nodelay()?, stream.keepalive()?, stream.ttl()?), (false, false, 64));
        stream.set_nodelay(true)?;
        stream.set_keepalive(&TcpKeepalive::new())?;
        stream.set_ttl(9)?;
        stream.set_linger(Some(Duration::from_secs(3)))?;
        stream.set_busy_poll(Duration::from_micros(50))?;
        stream.set_user_timeout(Some(ms(10)))?;
        assert_eq!((stream.nodelay()?, stream.keepalive()?, stream.ttl()?), (true, true, 9));
        assert_eq!(stream.linger()?, Some(Duration::from_secs(3)));
        assert_eq!(stream.busy_poll()?, Duration::from_micros(50));
        assert_eq!(stream.user_timeout()?, Some(ms(10)));
        stream.set_keepalive(None)?;
        stream.set_user_timeout(None)?;
        assert_eq!((stream.keepalive()?, stream.user_timeout()?), (false, None));
        Ok(())
    });
    sim.run().unwrap();
}
