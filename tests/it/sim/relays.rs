//! Bytes that no program looks at: relays by splice(2), files by sendfile(2), and what takes their
//! place where the kernel refuses both.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::pending;
use std::io;
use std::rc::Rc;

use corepoll::io::{Relayed, relay};
use corepoll::net::{TcpListener, TcpStream};
use corepoll::sim::{Faults, Simulation};
use corepoll::{Acceptor, Action, CloseReason, EvContext, EvHandler, Interest, Reactor, Token};
use futures::{AsyncReadExt, AsyncWriteExt};

use super::{add_echo, ms};

/// The file that is sent.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");

/// Returns the bytes that a client sends through a relay.
fn pattern() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// Sends the pattern to the echo behind a proxy, and checks what comes back.
async fn ask_through_proxy() -> io::Result<()> {
    let stream = TcpStream::connect("proxy:80").await?;
    let (mut reader, mut writer) = stream.split();
    let (pattern, mut answer) = (pattern(), Vec::new());
    let write = async {
        writer.write_all(&pattern).await?;
        writer.close().await
    };
    futures::try_join!(write, reader.read_to_end(&mut answer))?;
    assert!(answer == pattern, "{} bytes of {} came back", answer.len(), pattern.len());
    Ok(())
}

/// Runs a proxy of tasks between a client and an echo, and returns what its relay has moved.
fn relay_of_tasks(seed: u64, faults: Faults) -> Relayed {
    let mut sim = Simulation::new(seed);
    add_echo(&mut sim);
    let relayed = Rc::new(Cell::new(None));
    let moved = relayed.clone();
    sim.host("proxy", move || {
        let moved = moved.clone();
        async move {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let (front, _peer) = listener.accept().await?;
            let back = TcpStream::connect("server:7").await?;
            moved.set(Some(relay(front, back).await?));
            Ok(())
        }
    });
    sim.client("client", async {
        ask_through_proxy().await?;
        corepoll::time::sleep(ms(1000)).await;
        Ok(())
    });
    sim.faults(faults.latency(ms(1)..ms(9)));
    sim.run().unwrap();
    relayed.get().expect("the relay has ended")
}

#[test]
fn a_relay_of_tasks_is_spliced() {
    for seed in 0..10 {
        let relayed = relay_of_tasks(seed, Faults::default().short_io(0.1));
        let all = pattern().len() as u64;
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (all, all));
        assert!(relayed.spliced, "seed {seed}");
    }
}

#[test]
fn a_relay_that_may_not_splice_copies() {
    let mut spliced = 0;
    for seed in 0..30 {
        let relayed = relay_of_tasks(seed, Faults::default().refuse_splice(0.02).short_io(0.1));
        let all = pattern().len() as u64;
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (all, all));
        spliced += usize::from(relayed.spliced);
    }
    assert!(spliced < 30, "no call was refused");
}

#[test]
fn a_relay_passes_on_what_follows_an_urgent_byte() {
    for seed in 0..20 {
        let relayed = relay_of_tasks(seed, Faults::default().urgent(0.5).short_io(0.1));
        let all = pattern().len() as u64;
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (all, all), "seed {seed}");
    }
}

/// The client's side of a proxy of handlers: connects to the server, and is relayed from there.
struct Front;

/// The server's side.
struct Back(Token);

impl EvHandler for Front {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        cx.connect("server:7", Back(cx.token()))?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        unreachable!("the poller passes on what comes")
    }
}

impl EvHandler for Back {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.relay(self.0)?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        unreachable!("the poller passes on what comes")
    }

    fn on_close(&mut self, _cx: &mut EvContext<'_>, reason: CloseReason) {
        assert!(matches!(reason, CloseReason::PeerClosed), "{reason:?}");
    }
}

#[test]
fn a_relay_of_handlers_passes_everything_on() {
    for seed in 0..20 {
        let mut sim = Simulation::new(seed);
        add_echo(&mut sim);
        sim.host("proxy", || async {
            let reactor = Reactor::builder().pollers(1).build()?;
            let _listening = Acceptor::new("0.0.0.0:80").listen(&reactor.handle(), || Front)?;
            let _running = reactor.start()?;
            pending().await
        });
        sim.client("client", ask_through_proxy());
        let refused = if seed % 2 == 0 { 0.0 } else { 0.02 };
        let faults = Faults::default().refuse_splice(refused).urgent(0.2);
        sim.faults(faults.latency(ms(1)..ms(9)).short_io(0.1));
        sim.run().unwrap();
    }
}

/// Sends a file.
struct Download;

impl EvHandler for Download {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let file = File::open(FILE)?;
        let length = file.metadata()?.len();
        cx.write(b"head")?;
        cx.send_file(file, 0, length)?;
        Ok(Action::Close)
    }

    fn on_read(&mut self, _cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Keep)
    }
}

/// Lets a client download a file, and returns how often sendfile(2) has sent some of it.
fn download(seed: u64, faults: Faults) -> usize {
    let mut sim = Simulation::new(seed);
    sim.keep_trace();
    sim.host("server", || async {
        let reactor = Reactor::builder().pollers(1).build()?;
        let _listening = Acceptor::new("0.0.0.0:80").listen(&reactor.handle(), || Download)?;
        let _running = reactor.start()?;
        pending().await
    });
    let got = Rc::new(RefCell::new(Vec::new()));
    let bytes = got.clone();
    sim.client("client", async move {
        let mut all = Vec::new();
        TcpStream::connect("server:80").await?.read_to_end(&mut all).await?;
        bytes.replace(all);
        Ok(())
    });
    sim.faults(faults.latency(ms(1)..ms(9)));
    sim.run().unwrap();
    let expected = [b"head", &*std::fs::read(FILE).unwrap()].concat();
    assert!(*got.borrow() == expected, "{} bytes of {}", got.borrow().len(), expected.len());
    sim.trace().iter().filter(|line| line.ends_with("of a file")).count()
}

#[test]
fn a_file_is_sent_by_the_kernel_or_copied() {
    for seed in 0..10 {
        assert!(download(seed, Faults::default().short_io(0.3)) > 0, "seed {seed}");
        assert_eq!(download(seed, Faults::default().refuse_splice(1.0)), 0, "seed {seed}");
    }
}
