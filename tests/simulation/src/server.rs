//! The programs of the server and of its backend: reactors that serve all services, and are shut
//! down.

use std::io;
use std::time::Duration;

use corepoll::net::TcpStream;
use corepoll::{
    Acceptor, Listening, Reactor, ReactorHandle, RemoteJoinHandle, Running, time, with_local,
};
use fastrand::Rng;

use crate::actors::computing::compute;
use crate::actors::datagrams::use_datagrams;
use crate::actors::early_ends::{Brief, end_output_first};
use crate::actors::echo_handler::Echo;
use crate::actors::echo_task::echo;
use crate::actors::last_calls::see_grace_end;
use crate::actors::last_output::see_output_end;
use crate::actors::last_tasks::LastTasks;
use crate::actors::task_timers::use_timers;
use crate::actors::tasks::use_tasks;
use crate::actors::{answers, files, pool_handler, pool_task, relay, timed, udp, unix};
use crate::chores;
use crate::model::{Incoming, model, now};
use crate::plan::Service;

/// Longer than any timer of the services, of pools and of relays.
pub const QUIET: Duration = Duration::from_secs(4000);

/// How often a listener is tried before it is given up.
const MOST_ATTEMPTS: u32 = 1000;

/// Serves until all clients have ended, or until the shutdown that is planned.
///
/// # Errors
///
/// Returns what the reactor returns.
pub async fn run() -> io::Result<()> {
    let model = model();
    let served = serve().await;
    // Clients that wait for it see that nothing listens.
    model.is_listening.set(true);
    model.is_shut_down.set(true);
    model.has_ended.set(true);
    without_descriptors(served)
}

/// Serves what the server needs, until that has ended.
///
/// # Errors
///
/// Returns what the reactor returns.
pub async fn run_backend() -> io::Result<()> {
    let served = serve_backend().await;
    model().has_backend.set(true);
    model().is_backend_over.set(true);
    without_descriptors(served)
}

/// Passes the error over that there is no descriptor for a poller or a listener, if it is planned.
fn without_descriptors(served: io::Result<()>) -> io::Result<()> {
    match served {
        Err(error) if model().plan.may_fail_by(&error.to_string()) => Ok(()),
        served => served,
    }
}

/// Makes the reactor of the server, and ends it.
async fn serve() -> io::Result<()> {
    let model = model();
    let budget = model.plan.timing.budget.clone();
    let reactor = Reactor::builder().pollers(model.plan.pollers).budget(budget).build()?;
    let handle = reactor.handle();
    let new = || Echo::resume(Incoming::default());
    let listen_by = |service| persist(|| listen(service).listen(&handle, new));
    let _listening = [
        listen_by(Service::Handler)?,
        listen_by(Service::HandOver)?,
        serve_by(&handle, Service::Task, |stream| echo(stream, Incoming::default()))?,
        serve_by(&handle, Service::TaskRelay, relay::by_task)?,
        serve_by(&handle, Service::DeadEnd, relay::to_silence)?,
        persist(|| listen(Service::HandlerRelay).listen(&handle, relay::Front::begin))?,
        persist(|| listen(Service::HandlerPool).listen(&handle, pool_handler::Front::begin))?,
        persist(|| listen(Service::Files).listen(&handle, files::Answers::begin))?,
        serve_by(&handle, Service::TaskPool, pool_task::serve)?,
        serve_by(&handle, Service::EndsFirst, end_output_first)?,
        persist(|| listen(Service::ClosesFirst).listen(&handle, Brief::begin))?,
        persist(|| listen(Service::UnixRelay).listen(&handle, unix::relay))?,
        persist(|| listen(Service::DeafEnd).listen(&handle, unix::relay_to_deaf))?,
        unix::serve(&handle)?,
    ];
    let _timed = timed::listen(&handle)?;
    if model.plan.datagrams > 0 {
        udp::serve().await?;
    }
    let running = reactor.start()?;
    let background = start_background(&handle);
    model.is_listening.set(true);
    if wait_for_clients().await {
        check_calm_end(&handle, background).await;
    }
    let last = LastTasks::start(&handle).await;
    model.is_shut_down.set(true);
    shut_down(running, &last)?;
    see_ends().await
}

/// Shuts down by chance one more reactor, which has nothing but what its end is about.
async fn see_ends() -> io::Result<()> {
    // Of its own: what is drawn here changes nothing of what is drawn elsewhere.
    let mut rng = Rng::with_seed(model().plan.seed ^ 0x656e_6473);
    match rng.u32(0..8) {
        0 => see_grace_end(&mut rng).await,
        1 => see_output_end(&mut rng).await,
        _ => Ok(()),
    }
}

/// Checks what the pollers have left when all clients have ended.
async fn check_calm_end(handle: &ReactorHandle, background: Vec<RemoteJoinHandle<()>>) {
    for task in background {
        if let Err(error) = task.await {
            model().violated(format_args!("a task of the server: {error}"));
        }
    }
    // How long a connection may take to end after its client has, and a turn.
    let plan = &model().plan;
    let last_ends = plan.timing.budget.close_linger + Duration::from_secs(1);
    time::sleep(last_ends + plan.patience().unwrap_or_default() * 2).await;
    // Connections of pools stay while they are idle.
    for poller in handle.pollers() {
        let _ = poller.run_on(|| drop(with_local(std::mem::take::<pool_task::Pool>)));
    }
    time::sleep(last_ends).await;
    check_rest(handle);
    check_sleep(handle).await;
}

/// Checks that no timer is left: pollers that have nothing to do sleep.
async fn check_sleep(handle: &ReactorHandle) {
    let turns = || handle.stats().iter().map(|stats| stats.turns).collect::<Vec<_>>();
    let before = turns();
    time::sleep(QUIET).await;
    let after = turns();
    if before != after {
        let turns = (before, after);
        model().violated(format_args!("a poller wakes with nothing left to do: {turns:?}"));
    }
}

/// Makes the reactor of the backend, and ends it.
async fn serve_backend() -> io::Result<()> {
    let model = model();
    let budget = model.plan.timing.budget.clone();
    let reactor = Reactor::builder().pollers(1).budget(budget).build()?;
    let handle = reactor.handle();
    let new = || Echo::resume(Incoming::default());
    let _listening = [
        persist(|| listen(Service::Handler).listen(&handle, new))?,
        serve_by(&handle, Service::Task, |stream| echo(stream, Incoming::default()))?,
        serve_by(&handle, Service::Answers, answers::serve)?,
        serve_by(&handle, Service::Silence, relay::be_silent)?,
    ];
    let running = reactor.start()?;
    model.has_backend.set(true);
    let mut pause = Duration::from_millis(500);
    while !model.has_ended.get() {
        time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(60));
    }
    let last = LastTasks::start(&handle).await;
    shut_down(running, &last)
}

/// Shuts a reactor down, which takes no longer than its grace.
fn shut_down(running: Running, last: &LastTasks) -> io::Result<()> {
    let model = model();
    let (grace, pollers) = (model.plan.grace, running.handle().pollers().len());
    let begun = now();
    last.shut_down(&running.handle());
    running.join()?;
    let passed = now() - begun;
    model.check_prompt("the shutdown after its grace", passed.saturating_sub(grace));
    last.check(pollers);
    model.judge_cuts(passed);
    Ok(())
}

/// Listens, and tries again if that can't be done now: an attempt that fails leaves nothing behind.
///
/// # Errors
///
/// Returns what the last attempt returns.
pub fn persist<T>(mut listen: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let is_passing = |error: &io::Error| model().plan.lacks_watches && model().plan.refuses(error);
    for _ in 0..MOST_ATTEMPTS {
        match listen() {
            Err(error) if is_passing(&error) => {}
            result => return result,
        }
    }
    listen()
}

/// Listens for a service by tasks.
///
/// # Errors
///
/// Returns what the listener returns.
pub fn serve_by<F: Future + 'static>(
    handle: &ReactorHandle,
    service: Service,
    serve: impl Fn(TcpStream) -> F + Copy + Send + 'static,
) -> io::Result<Listening> {
    persist(|| listen(service).serve(handle, move |stream, _| serve(stream)))
}

/// Returns the listener of a service.
pub fn listen(service: Service) -> Acceptor {
    Acceptor::new(format!("0.0.0.0:{}", service.port()))
}

/// Starts the tasks of each poller that serve no connection.
fn start_background(handle: &ReactorHandle) -> Vec<RemoteJoinHandle<()>> {
    let plan = &model().plan;
    let mut rng = Rng::with_seed(plan.seed);
    let mut background = Vec::new();
    for poller in handle.pollers() {
        for _ in 0..plan.timers {
            let rng = rng.fork();
            background.push(poller.spawn_on(move || use_timers(rng)));
        }
        for _ in 0..plan.tasks {
            let (rng, handle) = (rng.fork(), handle.clone());
            background.push(poller.spawn_on(move || use_tasks(handle, rng)));
        }
        if plan.has_letters {
            let rng = rng.fork();
            background.push(poller.spawn_on(move || unix::use_letters(rng)));
        }
        if plan.is_busy {
            background.push(poller.spawn_on(use_datagrams));
        }
        let (count, time, polls) = plan.computing;
        for _ in 0..count {
            background.push(poller.spawn_on(move || compute(time, polls)));
        }
    }
    background.extend(chores::start(handle));
    background
}

/// Waits until all clients have ended. Returns `false` if the shutdown comes first.
async fn wait_for_clients() -> bool {
    let model = model();
    let begun = now();
    let mut pause = Duration::from_millis(10);
    while !model.clients_have_ended() {
        if model.plan.shutdown_at.is_some_and(|at| now() - begun >= at) {
            return false;
        }
        time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(10));
    }
    true
}

/// Checks that nothing is left of the connections and of the tasks.
fn check_rest(handle: &ReactorHandle) {
    for (index, stats) in handle.stats().into_iter().enumerate() {
        if (stats.connections, stats.tasks, stats.mail_waiting) != (0, 0, 0) {
            model().violated(format_args!("poller {index} has something left: {stats:?}"));
        }
    }
}
