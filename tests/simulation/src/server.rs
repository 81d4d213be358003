//! The programs of the server and of its backend: reactors that serve all services, and are shut
//! down.

use std::io;
use std::time::Duration;

use corepoll::{Acceptor, Reactor, ReactorHandle, RemoteJoinHandle, Running, time, with_local};
use fastrand::Rng;

use crate::actors::computing::compute;
use crate::actors::datagrams::use_datagrams;
use crate::actors::echo_handler::Echo;
use crate::actors::echo_task::echo;
use crate::actors::task_timers::use_timers;
use crate::actors::tasks::use_tasks;
use crate::actors::{answers, pool_task, relay};
use crate::model::{Incoming, model, now};
use crate::plan::Service;

/// How long a connection may take to end after its client has: the default of
/// `Budget::close_linger`, and a turn.
const LAST_ENDS: Duration = Duration::from_secs(6);

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
    without_descriptors(served)
}

/// Passes the error over that there is no descriptor for a poller or a listener, if it is planned.
fn without_descriptors(served: io::Result<()>) -> io::Result<()> {
    match served {
        Err(error) if model().plan.lacks_descriptors && error.to_string().contains("24") => Ok(()),
        served => served,
    }
}

/// Makes the reactor of the server, and ends it.
async fn serve() -> io::Result<()> {
    let model = model();
    let reactor = Reactor::builder().pollers(model.plan.pollers).build()?;
    let handle = reactor.handle();
    let new = || Echo::resume(Incoming::default());
    let _listening = [
        listen(Service::Handler).listen(&handle, new)?,
        listen(Service::HandOver).listen(&handle, new)?,
        listen(Service::Task).serve(&handle, |stream, _| echo(stream, Incoming::default()))?,
        listen(Service::TaskRelay).serve(&handle, |stream, _| relay::by_task(stream))?,
        listen(Service::DeadEnd).serve(&handle, |stream, _| relay::to_silence(stream))?,
        listen(Service::HandlerRelay).listen(&handle, relay::Front::begin)?,
        listen(Service::TaskPool).serve(&handle, |stream, _| pool_task::serve(stream))?,
    ];
    let running = reactor.start()?;
    let background = start_background(&handle);
    model.is_listening.set(true);
    if wait_for_clients().await {
        check_calm_end(&handle, background).await;
    }
    model.is_shut_down.set(true);
    shut_down(running)
}

/// Checks what the pollers have left when all clients have ended.
async fn check_calm_end(handle: &ReactorHandle, background: Vec<RemoteJoinHandle<()>>) {
    for task in background {
        if let Err(error) = task.await {
            model().violated(format_args!("a task of the server: {error}"));
        }
    }
    time::sleep(LAST_ENDS).await;
    // Connections of pools stay while they are idle.
    for poller in handle.pollers() {
        let _ = poller.run_on(|| drop(with_local(std::mem::take::<pool_task::Pool>)));
    }
    time::sleep(LAST_ENDS).await;
    check_rest(handle);
}

/// Makes the reactor of the backend, and ends it.
async fn serve_backend() -> io::Result<()> {
    let model = model();
    let reactor = Reactor::builder().pollers(1).build()?;
    let handle = reactor.handle();
    let new = || Echo::resume(Incoming::default());
    let _listening = [
        listen(Service::Handler).listen(&handle, new)?,
        listen(Service::Task).serve(&handle, |stream, _| echo(stream, Incoming::default()))?,
        listen(Service::Answers).serve(&handle, |stream, _| answers::serve(stream))?,
        listen(Service::Silence).serve(&handle, |stream, _| relay::be_silent(stream))?,
    ];
    let running = reactor.start()?;
    model.has_backend.set(true);
    while !model.has_ended.get() {
        time::sleep(Duration::from_millis(500)).await;
    }
    shut_down(running)
}

/// Shuts a reactor down, which takes no longer than its grace.
fn shut_down(running: Running) -> io::Result<()> {
    let model = model();
    let grace = model.plan.grace;
    let begun = now();
    running.handle().shutdown(grace);
    running.join()?;
    model.check_prompt("the shutdown after its grace", (now() - begun).saturating_sub(grace));
    Ok(())
}

/// Returns the listener of a service.
fn listen(service: Service) -> Acceptor {
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
        if plan.is_busy {
            background.push(poller.spawn_on(use_datagrams));
        }
        let (count, time, polls) = plan.computing;
        for _ in 0..count {
            background.push(poller.spawn_on(move || compute(time, polls)));
        }
    }
    background
}

/// Waits until all clients have ended. Returns `false` if the shutdown comes first.
async fn wait_for_clients() -> bool {
    let model = model();
    let begun = now();
    let mut pause = Duration::from_millis(10);
    while model.clients_left.get() > 0 {
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
