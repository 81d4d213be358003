//! The threads of a host: the pollers of a reactor, the program's own, and those of blocking calls.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use corepoll::blocking::spawn_blocking;
use corepoll::net::{TcpListener, TcpStream, lookup_host};
use corepoll::sim::{self, Faults, Simulation};
use corepoll::{
    Acceptor, Action, EvContext, EvHandler, PollerHandle, Reactor, Writer, block_on, time,
};
use futures::AsyncReadExt;
use futures::future::join_all;

use super::{add_echo, ask, ms};

/// What threads have noted, in order.
type Notes = Arc<Mutex<Vec<String>>>;

fn note(notes: &Notes, what: impl Into<String>) {
    notes.lock().unwrap().push(what.into());
}

/// Lets all threads of a host send each other mail.
async fn send_mail(notes: Notes) -> io::Result<()> {
    let running = Reactor::builder().pollers(3).build()?.start()?;
    let handle = running.handle();
    let pollers = handle.pollers().to_vec();
    for (index, poller) in pollers.iter().enumerate() {
        let (next, notes) = (pollers[(index + 1) % 3].clone(), notes.clone());
        let sent = poller.run_on(move || {
            note(&notes, format!("{index} from the program"));
            let sent = next.run_on(move || note(&notes, format!("{index} to the next")));
            assert!(sent.is_ok());
        });
        assert!(sent.is_ok());
    }
    let everywhere = notes.clone();
    handle.broadcast(move || {
        note(&everywhere, format!("broadcast to {}", PollerHandle::current().index()));
    });
    let calls = pollers.iter().enumerate().map(|(index, poller)| {
        let (poller, notes) = (poller.clone(), notes.clone());
        spawn_blocking(move || {
            poller.run_on(move || note(&notes, format!("{index} from a blocking call"))).is_ok()
        })
    });
    assert!(join_all(calls).await.into_iter().all(|sent| sent.unwrap()));
    while notes.lock().unwrap().len() < 12 {
        time::sleep(ms(1)).await;
    }
    handle.shutdown(ms(500));
    running.join().map(drop)
}

#[test]
fn threads_of_a_host_send_each_other_mail_in_the_order_of_the_seed() {
    let run = |seed| {
        let mut sim = Simulation::new(seed);
        let notes = Notes::default();
        sim.client("host", send_mail(notes.clone()));
        sim.run().unwrap();
        let notes = notes.lock().unwrap().clone();
        (notes, sim.trace_hash())
    };
    let mut orders = HashSet::new();
    for seed in 0..20 {
        let (notes, hash) = run(seed);
        assert_eq!(run(seed), (notes.clone(), hash));
        let all: HashSet<_> = notes.iter().collect();
        assert_eq!((notes.len(), all.len()), (12, 12), "each came once: {notes:?}");
        orders.insert(notes);
    }
    assert!(orders.len() > 1, "all seeds have one order");
}

#[test]
fn blocking_calls_run_on_threads_of_their_host() {
    let mut sim = Simulation::new(7);
    add_echo(&mut sim);
    sim.client("client", async {
        let panicked = spawn_blocking(|| -> u32 { panic!("no luck") }).await.unwrap_err();
        assert!(panicked.is_panic());
        // It has a poller of its own, and waits while others go on.
        let answer = spawn_blocking(|| {
            block_on(async {
                let mut stream = TcpStream::connect("server:7").await?;
                ask(&mut stream, b"from a blocking call").await
            })
        });
        answer.await?
    });
    sim.tolerate_panics();
    sim.run().unwrap();
}

#[test]
fn names_of_hosts_are_looked_up() {
    let mut sim = Simulation::new(7);
    add_echo(&mut sim);
    sim.client("client", async {
        let server = sim::control().address("server");
        let found: Vec<_> = lookup_host("server:7").await?.collect();
        assert_eq!(found, [(server, 7).into()]);
        assert!(lookup_host(("localhost".to_owned(), 7)).await?.all(|it| it.ip().is_loopback()));
        assert_eq!(lookup_host("nobody:7").await.unwrap_err().kind(), io::ErrorKind::NotFound);
        Ok(())
    });
    sim.run().unwrap();
}

/// Hands its writer out.
struct Lender(Arc<Mutex<Option<Writer>>>);

impl EvHandler for Lender {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        *self.0.lock().unwrap() = Some(cx.writer());
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

#[test]
fn a_writer_writes_from_other_threads() {
    for seed in 0..10 {
        let mut sim = Simulation::new(seed);
        sim.host("server", || async {
            let running = Reactor::builder().pollers(2).build()?.start()?;
            let lent = Arc::new(Mutex::new(None));
            let lender = lent.clone();
            let acceptor = Acceptor::new("0.0.0.0:7");
            let _listening = acceptor.listen(&running.handle(), move || Lender(lender.clone()))?;
            let writer = loop {
                time::sleep(ms(1)).await;
                if let Some(writer) = lent.lock().unwrap().take() {
                    break writer;
                }
            };
            writer.write("from the program, ")?;
            spawn_blocking(move || {
                writer.write("from a blocking call")?;
                writer.close();
                io::Result::Ok(())
            })
            .await??;
            std::future::pending().await
        });
        sim.client("client", async {
            let mut got = String::new();
            TcpStream::connect("server:7").await?.read_to_string(&mut got).await?;
            assert_eq!(got, "from the program, from a blocking call");
            Ok(())
        });
        sim.run().unwrap();
    }
}

#[test]
fn descriptors_neither_leave_a_simulation_nor_come_into_one() {
    let mut sim = Simulation::new(7);
    add_echo(&mut sim);
    sim.client("client", async {
        let stream = TcpStream::connect("server:7").await?;
        let error = stream.into_std().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        let outside = std::net::TcpListener::bind("127.0.0.1:0")?;
        let error = TcpListener::from_std(outside).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
        // std closes what it is given. It is closed here when its number is given anew.
        let stream = TcpStream::connect("server:7").await?;
        drop(OwnedFd::try_from(stream)?);
        let mut stream = TcpStream::connect("server:7").await?;
        ask(&mut stream, b"hello").await
    });
    sim.run().unwrap();
}

/// Returns `true` if the poller of a host has run between two writes of another thread of it.
fn is_called_between_two_writes(seed: u64, faults: Faults) -> bool {
    let mut sim = Simulation::new(seed);
    add_echo(&mut sim);
    let between = Arc::new(Mutex::new(false));
    let has_been = between.clone();
    sim.client("client", async move {
        let stream = TcpStream::connect("server:7").await?;
        let running = Reactor::builder().pollers(1).build()?.start()?;
        let notes = Notes::default();
        for _ in 0..20 {
            let mail = notes.clone();
            let sent = running.handle().pollers()[0].run_on(move || note(&mail, "mail"));
            assert!(sent.is_ok());
            let before = notes.lock().unwrap().len();
            assert_eq!((stream.try_write(b"one")?, stream.try_write(b"two")?), (3, 3));
            *has_been.lock().unwrap() |= notes.lock().unwrap().len() > before;
            time::sleep(ms(1)).await;
        }
        running.handle().shutdown(ms(500));
        running.join().map(drop)
    });
    sim.faults(faults);
    sim.run().unwrap();
    *between.lock().unwrap()
}

#[test]
fn other_threads_run_between_two_calls_only_where_that_is_a_fault() {
    assert!((0..10).all(|seed| !is_called_between_two_writes(seed, Faults::default())));
    let preempted = |seed| is_called_between_two_writes(seed, Faults::default().preempt(0.3));
    assert!((0..10).any(preempted));
}

/// A callback that keeps its poller past the grace.
async fn hold_past_the_grace() -> io::Result<()> {
    let running = Reactor::builder().pollers(1).build()?.start()?;
    let handle = running.handle();
    assert!(handle.pollers()[0].run_on(|| sim::compute(ms(300))).is_ok());
    handle.shutdown(ms(0));
    running.join().map(drop)
}

#[test]
fn a_poller_is_late_by_the_time_of_the_simulation_alone() {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Threads of this process that are active are no part of the simulation.
        let busy = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                std::hint::spin_loop()
            }
        });
        let mut sim = Simulation::new(7);
        sim.client("host", hold_past_the_grace());
        let failure = sim.run();
        is_over.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        assert!(failure.unwrap_err().message.contains("is stuck"));
    });
}
