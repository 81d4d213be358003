//! A poller's share of the load: makes its connections, and replaces those that end.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use corepoll::net::{ConnectOptions, TcpStream};
use corepoll::{spawn_local, time};
use futures::channel::oneshot;
use futures::{StreamExt, stream};

use crate::connection::{Connection, Plan};
use crate::options::Mode;
use crate::schedule::Schedule;
use crate::statistics::Statistics;
use crate::tls::Security;
use crate::wire::Ready;

/// How many connections a poller makes at once before the load begins. More would overflow the backlog of
/// most servers, and a SYN that is dropped is sent again after a second.
const CONNECTS_AT_ONCE: usize = 64;

/// How often a poller publishes its progress.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// How often a poller looks whether the last answers have come.
const DRAIN_EVERY: Duration = Duration::from_millis(1);

/// The pause after a connect that has failed; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a poller has to do.
#[derive(Debug)]
pub struct Work {
    /// What each connection does.
    pub plan: Plan,
    /// The numbers of its connections.
    pub share: Range<usize>,
    /// How many connections all pollers have.
    pub connections: usize,
    /// Requests a second, over all connections.
    pub rate: Option<NonZeroU64>,
    /// The addresses of the server.
    pub target: Vec<SocketAddr>,
    /// The addresses to connect from.
    pub sources: Vec<IpAddr>,
    /// How its connections are secured, if they are.
    pub security: Option<Security>,
    /// Where to publish progress.
    pub progress: Arc<Progress>,
    /// Says that the connections are made, or why none was.
    pub ready: oneshot::Sender<io::Result<()>>,
    /// Says when the load begins and ends.
    pub begin: oneshot::Receiver<(Instant, Instant)>,
}

/// What a poller has done so far, for the line of progress. Written by its thread alone.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests that were answered.
    pub answered: AtomicU64,
    /// What went wrong.
    pub errors: AtomicU64,
    /// Connections that were made.
    pub connected: AtomicU64,
    /// All that there was to do is done.
    pub is_over: AtomicBool,
}

/// What the tasks of a poller share.
struct Poller {
    /// What each connection does.
    plan: Rc<Plan>,
    /// The measurements.
    statistics: Rc<RefCell<Statistics>>,
    /// The addresses of the server.
    target: Vec<SocketAddr>,
    /// The addresses to connect from.
    sources: Vec<IpAddr>,
    /// How connections are secured, if they are.
    security: Option<Security>,
}

/// Does the work. Returns what was measured, and when the last answer was there.
pub async fn work(work: Work) -> (Statistics, Instant) {
    let poller = Rc::new(Poller {
        plan: Rc::new(work.plan),
        statistics: Rc::new(RefCell::new(Statistics::new())),
        target: work.target,
        sources: work.sources,
        security: work.security,
    });

    // Connections that are kept are there before the load begins.
    let mut streams: Vec<Option<Ready>> = work.share.clone().map(|_| None).collect();
    let mut first_error = None;
    if poller.plan.mode != Mode::Churn {
        let connects = stream::iter(work.share.clone()).map(|index| {
            let poller = &poller;
            async move { (index, poller.connect(index).await) }
        });
        let mut connects = connects.buffer_unordered(CONNECTS_AT_ONCE);
        while let Some((index, connected)) = connects.next().await {
            match connected {
                Ok(stream) => streams[index - work.share.start] = Some(stream),
                Err(error) => first_error = first_error.or(Some(error)),
            }
            publish(&poller, &work.progress);
        }
    }
    let none = !streams.is_empty() && streams.iter().all(Option::is_none);
    let ready = match first_error {
        Some(error) if none => Err(error),
        _ => Ok(()),
    };
    let _ = work.ready.send(ready);

    // The load is given up where no poller has a connection.
    let Ok((start, end)) = work.begin.await else { return (Statistics::new(), Instant::now()) };
    for (index, stream) in work.share.zip(streams) {
        let schedule = work.rate.map(|rate| Schedule::new(start, index, work.connections, rate));
        drop(spawn_local(keep(poller.clone(), index, stream, schedule, end)));
    }
    let publish_every = if poller.plan.most < u64::MAX { DRAIN_EVERY } else { PUBLISH_EVERY };
    while Instant::now() < end && poller.may_send() {
        time::sleep_until(end.min(Instant::now() + publish_every)).await;
        publish(&poller, &work.progress);
    }
    // What is under way has its time: an answer that takes longest must not be left out.
    let patience = end + poller.plan.timeout;
    while poller.statistics.borrow().under_way() > 0 && Instant::now() < patience {
        time::sleep(DRAIN_EVERY).await;
    }
    let mut statistics = poller.statistics.replace(Statistics::new());
    let under_way = statistics.under_way();
    statistics.count_errors("timeout", under_way);
    work.progress.is_over.store(true, Relaxed);
    (statistics, Instant::now())
}

/// Publishes what the poller has done.
fn publish(poller: &Poller, progress: &Progress) {
    let statistics = poller.statistics.borrow();
    progress.answered.store(statistics.answered, Relaxed);
    progress.errors.store(statistics.error_count(), Relaxed);
    progress.connected.store(statistics.connected, Relaxed);
}

impl Poller {
    /// Returns `true` if there are requests to send.
    fn may_send(&self) -> bool {
        self.statistics.borrow().sent < self.plan.most
    }

    /// Connects, and shakes hands where that is asked for. A failure is counted.
    async fn connect(&self, index: usize) -> io::Result<Ready> {
        let mut options = ConnectOptions::new().timeout(self.plan.timeout).nodelay(true);
        if !self.sources.is_empty() {
            let source = self.sources[index % self.sources.len()];
            options = options.bind_local(SocketAddr::new(source, 0));
        }
        let stream = TcpStream::connect_with(&self.target[..], options).await;
        let stream = stream.inspect_err(|error| {
            self.statistics.borrow_mut().count_io_error("connect", error);
        })?;
        let ready = match &self.security {
            None => Ready::Plain(stream),
            Some(security) => {
                let opened = security.shake_hands(stream).await.inspect_err(|error| {
                    self.statistics.borrow_mut().count_error(format!("handshake: {error}"));
                })?;
                Ready::Secured(opened)
            }
        };
        self.statistics.borrow_mut().connected += 1;
        Ok(ready)
    }
}

/// Holds one connection: gives it to its handler, and makes the next one when it has ended.
async fn keep(
    poller: Rc<Poller>,
    index: usize,
    mut ready: Option<Ready>,
    mut schedule: Option<Schedule>,
    end: Instant,
) {
    let mut pause = FIRST_PAUSE;
    while Instant::now() < end && poller.may_send() {
        let mut begun = None;
        if poller.plan.mode == Mode::Churn {
            begun = begin(&mut schedule, end).await;
            if begun.is_none() {
                return;
            }
        }
        let Some(connected) = connected(&poller, index, ready.take(), &mut pause).await else {
            continue;
        };
        // Another connection may have sent the last request meanwhile.
        if !poller.may_send() {
            return;
        }
        let (tell, ended) = oneshot::channel();
        let (plan, statistics) = (poller.plan.clone(), poller.statistics.clone());
        let mut connection = Connection::new(plan, statistics, schedule.take(), end, tell);
        if let Some(begun) = begun {
            connection = connection.begun_at(begun);
        }
        if let Err(error) = connected.begin(connection) {
            poller.statistics.borrow_mut().count_refusal(begun.is_some(), &error);
        }
        match ended.await {
            Ok(left) => schedule = left,
            // The handler was refused, or dropped with its poller.
            Err(oneshot::Canceled) => return,
        }
    }
}

/// Waits until the next connection of churn is to begin, and returns that time. Returns `None` if the load
/// is over by then.
async fn begin(schedule: &mut Option<Schedule>, end: Instant) -> Option<Instant> {
    let Some(schedule) = schedule else { return Some(Instant::now()) };
    let at = schedule.next();
    if at >= end {
        return None;
    }
    time::sleep_until(at).await;
    schedule.advance();
    Some(at)
}

/// Returns the connection that was made before the load, or makes one. Returns `None` if that has failed,
/// which is counted then, after a pause that grows.
async fn connected(
    poller: &Poller,
    index: usize,
    made: Option<Ready>,
    pause: &mut Duration,
) -> Option<Ready> {
    let connected = match made {
        Some(made) if made.has_ended() => {
            poller.statistics.borrow_mut().count_error("closed before the load");
            return None;
        }
        Some(made) => made,
        None => match poller.connect(index).await {
            Ok(connected) => connected,
            Err(_counted) => {
                time::sleep(*pause).await;
                *pause = LONGEST_PAUSE.min(2 * *pause);
                return None;
            }
        },
    };
    *pause = FIRST_PAUSE;
    Some(connected)
}
