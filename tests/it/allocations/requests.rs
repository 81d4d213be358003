//! After warm-up a request allocates nothing, by handlers and by tasks; neither does a timer.

use std::future::Future;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::common::counting::allocations;
use crate::common::{self, Server, ask, connect};
use corepoll::{Action, Budget, EvContext, EvHandler, Reactor, TimerId, block_on, net, time};
use futures::{AsyncReadExt, AsyncWriteExt};

/// What a client sends to be told how many allocations the poller's thread has made.
const COUNT: &[u8; 8] = b"how many";

/// The answer to `request`.
fn answer(request: &[u8]) -> [u8; 8] {
    let request = request.try_into().expect("requests of eight bytes");
    if request == *COUNT { allocations().to_be_bytes() } else { request }
}

fn count(client: &TcpStream) -> u64 {
    u64::from_be_bytes(ask(client, COUNT).try_into().expect("eight bytes"))
}

/// Asks on several connections in turn, and says what the requests after the warm-up allocated.
fn allocated_by_requests(addr: SocketAddr) -> u64 {
    let clients: Vec<TcpStream> = (0..8).map(|_| connect(addr)).collect();
    let round =
        || clients.iter().for_each(|client| assert_eq!(ask(client, b"request."), b"request."));
    (0..100).for_each(|_| round());
    let before = count(&clients[0]);
    (0..500).for_each(|_| round());
    count(&clients[0]) - before
}

struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&answer(&data))?;
        Ok(Action::Keep)
    }
}

/// Reads until it is told that there is no more for now.
struct EchoUntilWouldBlock;

impl EvHandler for EchoUntilWouldBlock {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        loop {
            let data = cx.read()?;
            if data.is_empty() {
                return Ok(Action::Close);
            }
            cx.write(&answer(&data))?;
        }
    }
}

async fn echo_by_chunks(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    loop {
        let chunk = stream.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(());
        }
        let answer = answer(&chunk);
        drop(chunk);
        stream.write_all(&answer).await?;
    }
}

async fn echo_by_async_read(mut stream: net::TcpStream, _: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&answer(&buffer[..count])).await?;
    }
}

// ---- timers ----

const MILLION: usize = 1_000_000;

/// For each byte that it reads, sets a million timers and cancels them; answers with how many
/// allocations that took.
struct SetsAndCancels {
    timers: Vec<TimerId>,
}

impl EvHandler for SetsAndCancels {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read_into(&mut [0; 1])? == 0 {
            return Ok(Action::Close);
        }
        let before = allocations();
        for number in 0..MILLION {
            // Due soon and late, in no order.
            let delay = Duration::from_millis(1 + (number * 7919 % 100_000) as u64);
            self.timers.push(cx.set_timer(delay));
        }
        let cancelled = self.timers.drain(..).filter(|timer| cx.cancel_timer(*timer)).count();
        assert_eq!(cancelled, MILLION);
        cx.write(&(allocations() - before).to_be_bytes())?;
        Ok(Action::Keep)
    }
    fn on_timeout(&mut self, _: &mut EvContext<'_>, _: TimerId) -> io::Result<Action> {
        unreachable!("all of them were cancelled")
    }
}

/// Cancelled timers leave their places to the next ones: nothing piles up.
#[test]
fn a_million_cancelled_timers_leave_their_places() {
    let factory = || SetsAndCancels { timers: Vec::with_capacity(MILLION) };
    let (server, addr) = Server::of_handlers(factory);
    let mut client = connect(addr);
    let mut takes = || {
        client.write_all(b"x").unwrap();
        let answer = common::read_exactly(&client, 8);
        u64::from_be_bytes(answer.try_into().expect("eight bytes"))
    };
    let first = takes();
    assert!(first > 0, "the first ones need room");
    assert_eq!((takes(), takes()), (0, 0));
    let load = common::load_of(server.poller(), Duration::from_millis(100));
    assert!(load < 0.3, "no timer is left: {load}");
}

#[test]
fn a_hundred_thousand_dropped_sleeps_leave_their_places() {
    block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        let mut sleeps: Vec<time::Sleep> = Vec::with_capacity(MILLION / 10);
        let mut takes = || {
            let before = allocations();
            for number in 0..MILLION / 10 {
                let mut sleep = time::sleep(Duration::from_secs(1 + number as u64 * 7919 % 1000));
                assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
                sleeps.push(sleep);
            }
            sleeps.clear();
            allocations() - before
        };
        assert!(takes() > 0, "the first ones need room");
        assert_eq!((takes(), takes()), (0, 0));
    });
}

/// Puts its idle timer off at each request.
struct PutsOff {
    idle: Option<TimerId>,
}

impl EvHandler for PutsOff {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.idle = Some(cx.set_timer(Duration::from_secs(60)));
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        let idle = self.idle.expect("it is open");
        assert!(cx.reset_timer(idle, Duration::from_secs(60)));
        cx.write(&answer(&data))?;
        Ok(Action::Keep)
    }
}

#[test]
fn a_timer_that_is_put_off_allocates_nothing() {
    let (_server, addr) = Server::of_handlers(|| PutsOff { idle: None });
    assert_eq!(allocated_by_requests(addr), 0);
}

/// Sets its timer anew each time that it comes, and tells what the rounds after the first allocated.
#[derive(Default)]
struct ComesAgain {
    rounds: u64,
    before: u64,
}

impl EvHandler for ComesAgain {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_timer(Duration::ZERO);
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(if cx.read()?.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_timeout(&mut self, cx: &mut EvContext<'_>, timer: TimerId) -> io::Result<Action> {
        self.rounds += 1;
        match self.rounds {
            10 => self.before = allocations(),
            1000 => {
                cx.write(&(allocations() - self.before).to_be_bytes())?;
                return Ok(Action::Keep);
            }
            _ => {}
        }
        assert!(cx.reset_timer(timer, Duration::ZERO));
        Ok(Action::Keep)
    }
}

#[test]
fn a_timer_that_is_reset_in_its_own_callback_allocates_nothing() {
    let (_server, addr) = Server::of_handlers(ComesAgain::default);
    assert_eq!(common::read_exactly(&connect(addr), 8), [0; 8]);
}

#[test]
fn a_sleep_that_is_reset_allocates_nothing_whether_it_waits_or_is_over() {
    block_on(async {
        let mut cx = Context::from_waker(Waker::noop());
        let mut sleep = pin!(time::sleep(Duration::from_secs(60)));
        let mut rounds = async |count: u64| {
            let before = allocations();
            for number in 0..count {
                let far = Instant::now() + Duration::from_secs(1 + number * 7919 % 1000);
                sleep.as_mut().reset(far);
                assert!(sleep.as_mut().poll(&mut cx).is_pending());
                sleep.as_mut().reset(Instant::now());
                sleep.as_mut().await;
            }
            allocations() - before
        };
        rounds(1).await;
        assert_eq!(rounds(1000).await, 0);
    });
}

// ---- requests ----

#[test]
fn a_request_to_a_handler_allocates_nothing() {
    let (_server, addr) = Server::of_handlers(|| Echo);
    assert_eq!(allocated_by_requests(addr), 0);
}

#[test]
fn a_handler_that_spends_its_budget_allocates_nothing() {
    for read_per_event in [1, 1 << 20] {
        let mut budget = Budget::default();
        budget.read_per_event = read_per_event;
        let server = Server::build(Reactor::builder().pollers(1).budget(budget));
        let addr = server.listen(|| EchoUntilWouldBlock);
        assert_eq!(allocated_by_requests(addr), 0);
    }
}

#[test]
fn a_request_to_a_task_that_reads_chunks_allocates_nothing() {
    let (_server, addr) = Server::of_tasks(echo_by_chunks);
    assert_eq!(allocated_by_requests(addr), 0);
}

#[test]
fn a_request_to_a_task_that_reads_by_async_read_allocates_nothing() {
    let (_server, addr) = Server::of_tasks(echo_by_async_read);
    assert_eq!(allocated_by_requests(addr), 0);
}
