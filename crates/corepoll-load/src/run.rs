//! A whole run: starts the pollers, shows progress, and adds up what they have measured.

use std::io::{self, BufRead, IsTerminal, Write};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use corepoll::{Reactor, RemoteJoinHandle, block_on};
use futures::channel::oneshot;

use crate::connection::Plan;
use crate::options::Options;
use crate::schedule::planned;
use crate::statistics::Statistics;
use crate::tls::Security;
use crate::work::{Progress, Work, work};

/// How often the line of progress is printed.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How often is looked whether the load is over before its time.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a run has measured.
#[derive(Debug)]
pub struct Outcome {
    /// The measurements of all pollers.
    pub statistics: Statistics,
    /// How long it took to make the connections.
    pub connecting: Duration,
    /// How long it took until the last answer was there.
    pub lasted: Duration,
    /// The user and system CPU time of this process while the load lasted.
    pub cpu: (Duration, Duration),
    /// How many pollers there were.
    pub pollers: usize,
}

/// A poller as the run sees it.
struct Started {
    /// Its measurements, in the end.
    work: RemoteJoinHandle<(Statistics, Instant)>,
    /// Says that its connections are made.
    ready: oneshot::Receiver<io::Result<()>>,
    /// Begins the load.
    begin: oneshot::Sender<(Instant, Instant)>,
    /// What it has done so far.
    progress: Arc<Progress>,
}

/// Loads the server as `options` say.
///
/// # Errors
///
/// Returns a sentence for options that don't go together, and if no connection can be made.
pub fn run(options: &Options) -> Result<Outcome, String> {
    let count = options.poller_count();
    let plan = plan(options)?;
    let security = Security::of(options, plan.protocol)?;
    let reactor = Reactor::builder().pollers(count).thread_name("load").build();
    let running = reactor.and_then(Reactor::start).map_err(|error| error.to_string())?;
    let handle = running.handle();
    let connections = options.connections.get();
    let mut pollers = Vec::new();
    for (index, poller) in handle.pollers().iter().enumerate() {
        let share = index * connections / count..(index + 1) * connections / count;
        let (tell_ready, ready) = oneshot::channel();
        let (begin, begun) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let most = |connection| {
            let all = options.requests.map_or(u64::MAX, NonZeroU64::get);
            (u128::from(all) * connection as u128 / connections as u128) as u64
        };
        let own = Work {
            plan: Plan { most: most(share.end) - most(share.start), ..plan.clone() },
            share,
            connections,
            rate: options.rate,
            target: options.addresses()?,
            sources: options.source.clone(),
            security: security.clone(),
            progress: progress.clone(),
            ready: tell_ready,
            begin: begun,
        };
        let work = poller.spawn_on(move || work(own));
        pollers.push(Started { work, ready, begin, progress });
    }
    let measured = measure(options, pollers);
    handle.shutdown(Duration::ZERO);
    running.join().map_err(|error| error.to_string())?;
    measured
}

/// Returns what each connection is to do.
fn plan(options: &Options) -> Result<Plan, String> {
    let (protocol, mode) = options.protocol_and_mode()?;
    let request = options.request(protocol, mode)?;
    let pipeline = options.pipeline.get();
    Ok(Plan {
        protocol,
        mode,
        length: request.len(),
        requests: request.repeat(pipeline),
        pipeline,
        timeout: options.timeout,
        most: u64::MAX,
    })
}

/// Begins the load when the connections are made, and waits for its end.
fn measure(options: &Options, pollers: Vec<Started>) -> Result<Outcome, String> {
    let count = pollers.len();
    let before = Instant::now();
    let (mut errors, mut waiting) = (Vec::new(), Vec::new());
    for started in pollers {
        match block_on(started.ready) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => errors.push(error),
            Err(oneshot::Canceled) => return Err("a poller has ended".into()),
        }
        waiting.push((started.work, started.begin, started.progress));
    }
    if errors.len() == count {
        return Err(errors.swap_remove(0).to_string());
    }
    let connecting = before.elapsed();
    if options.wait {
        wait_for_line().map_err(|error| error.to_string())?;
    }
    let cpu_before = cpu_time();
    let start = Instant::now();
    let end = start + options.duration;
    let (mut works, mut progress) = (Vec::new(), Vec::new());
    for (work, begin, published) in waiting {
        let _ = begin.send((start, end));
        works.push(work);
        progress.push(published);
    }
    show_progress(options, &progress, start, end);
    let (mut statistics, mut last) = (Statistics::new(), start);
    for work in works {
        let (own, ended) = block_on(work).map_err(|error| error.to_string())?;
        statistics.add(&own);
        last = last.max(ended);
    }
    if let Some(rate) = options.rate {
        let planned = planned(rate, options.duration);
        let planned = options.requests.map_or(planned, |most| planned.min(most.get()));
        let late = planned.saturating_sub(statistics.sent);
        statistics.count_errors("not sent in time", late);
    }
    let cpu_after = cpu_time();
    Ok(Outcome {
        statistics,
        connecting,
        lasted: last - start,
        cpu: (cpu_after.0 - cpu_before.0, cpu_after.1 - cpu_before.1),
        pollers: count,
    })
}

/// Says that the load can begin, and waits for a line, or for the end of the input.
fn wait_for_line() -> io::Result<()> {
    eprintln!("ready");
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

/// Prints a line of progress each second, over itself where the output is a terminal.
fn show_progress(options: &Options, progress: &[Arc<Progress>], start: Instant, end: Instant) {
    let quiet = options.quiet || options.json && !io::stderr().is_terminal();
    let (line_start, line_end) =
        if io::stderr().is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
    let sum = |count: fn(&Progress) -> u64| progress.iter().map(|each| count(each)).sum::<u64>();
    let mut answered_before = 0;
    let mut next = start + PROGRESS_EVERY;
    while next < end && !quiet && !progress.iter().all(|each| each.is_over.load(Relaxed)) {
        let left = next.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(LOOK_EVERY));
        if left > LOOK_EVERY {
            continue;
        }
        let answered = sum(|each| each.answered.load(Relaxed));
        let errors = sum(|each| each.errors.load(Relaxed));
        let connected = sum(|each| each.connected.load(Relaxed));
        eprint!(
            "{line_start}{:>4} of {} s  {:>9} requests/s  {connected} connected  {errors} errors{line_end}",
            (next - start).as_secs(),
            options.duration.as_secs_f64(),
            answered - answered_before,
        );
        let _ = io::stderr().flush();
        answered_before = answered;
        next += PROGRESS_EVERY;
    }
    if !quiet && !line_start.is_empty() {
        eprint!("{line_start}");
    }
}

/// Returns the user and system time that this process has used: fields 14 and 15 of /proc/self/stat, in
/// ticks of 10 ms (proc(5)).
fn cpu_time() -> (Duration, Duration) {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_whitespace().skip(11).map(|field| field.parse().unwrap_or(0));
    let mut next = || Duration::from_millis(10) * ticks.next().unwrap_or(0);
    (next(), next())
}
